"""Commands about the audit trail: verify, prune, and those of `anchoring` and `exporting`."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from vault.audit.scan import GivenNote, Report
from vault.commands.anchoring import cosign, recover, witness
from vault.commands.exporting import export
from vault.commands.say import AsJson, ControllerOption, answer, people, said, the_controller
from vault.errors import AuditUnavailable, Conflict
from vault.opening import open_vault
from vault.operations.verify_trail import verify_alone
from vault.settings import read_settings

audit = typer.Typer(help="The tamper-evident trail of every access.", no_args_is_help=True)
for _command in (export, recover, witness, cosign):
    audit.command()(_command)


@audit.command()
def verify(
    controller: ControllerOption = None,
    against: Annotated[list[Path] | None, typer.Option(help="A checkpoint somebody kept (a signed note); may be repeated.")] = None,
    key: Annotated[
        str | None, typer.Option(help="With --against: check with this verifier key alone, without keyring or state.")
    ] = None,
    receipt: Annotated[list[str] | None, typer.Option(help="An `Audit-Receipt` somebody holds; may be repeated.")] = None,
    as_json: AsJson = False,
) -> None:
    """Recompute a controller's whole trail from its leaves. Exit status 1 if anything differs, or could not be checked.

    Names the first bad position, or the stretch between two checkpoints. An empty log, and one shorter than any checkpoint, fail;
    so does one without the entry of a receipt that is a minute old. Receipts cannot be checked with --key alone.
    """
    with said(as_json=as_json), open_vault(read_settings()) as opened:
        controller = the_controller(opened.vault.database.controllers(), controller)
        notes = [GivenNote(path.name, path.read_text()) for path in against or ()]
        if key is not None:
            report = verify_alone(opened.sequencing, controller, opened.vault.settings.host, notes, key)
            report = replace(report, not_checked=("receipts",)) if receipt else report
        else:
            try:
                opened.trail.settle(controller)
            except AuditUnavailable:
                people.print("What is pending could not be sequenced or signed: see the findings.")
            report = opened.verify(controller, notes, receipt or ())
    answer(report_document(report), as_json=as_json, text=_text(report))
    if not report.ok:
        raise typer.Exit(1)


@audit.command()
def prune(
    before: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="Prune what was recorded before this day (UTC).")],
    archive: Annotated[Path, typer.Option(exists=True, file_okay=False, help="Where the leaves go: a directory you keep.")],
    controller: ControllerOption = None,
    as_json: AsJson = False,
) -> None:
    """Move the oldest leaves of a controller's trail to an archive; every proof of what is left stays as it was.

    In whole stretches of 65,536 entries, as old at least as the policy in force keeps the log: two years. The trail is verified
    first: exit status 1 if it does not hold.
    """
    with said(as_json=as_json), open_vault(read_settings()) as opened:
        controller = the_controller(opened.vault.database.controllers(), controller)
        opened.trail.settle(controller)
        if not opened.verify(controller).ok:
            raise Conflict("trail-not-verified")
        pruned = opened.prune(controller, before.replace(tzinfo=UTC), archive)
    if pruned is None:
        answer({"pruned": False}, as_json=as_json, text="Nothing to prune: no whole stretch of 65,536 entries is older than that.")
        return
    document = {
        "pruned": True, "first": pruned.first, "bound": pruned.bound, "archive": str(pruned.archive), "entry": pruned.entry_id,
        "dropped": list(pruned.dropped),
    }  # fmt: skip
    answer(document, as_json=as_json, text=f"Pruned: entries {pruned.first} to {pruned.bound - 1} are in {pruned.archive}")


def report_document(report: Report) -> dict[str, Any]:
    """Return what `riserbo audit verify --json` prints."""
    return {
        "ok": report.ok,
        "origin": report.origin,
        "size": report.size,
        "root": report.root.hex(),
        "checkpoints": report.checkpoints,
        "first_bad": report.first_bad,
        "interval": list(report.interval) if report.interval else None,
        "findings": [{"check": one.check, "what": one.what, "position": one.position} for one in report.findings],
        "not_checked": list(report.not_checked),
        "lost": report.lost,
        "eras_before": [report_document(one) for one in report.before],
    }


def _text(report: Report) -> str:
    if report.before:
        return "\n".join(_of_era(one) for one in (*report.before, report))
    return _of_era(report)


def _of_era(report: Report) -> str:
    lost = f" It begins where {report.lost} signed entries were lost." if report.lost else ""
    if not report.findings and not report.not_checked:
        root = report.root.hex()[:16]
        return f"Verified: {report.origin}: {report.size} entries, {report.checkpoints} checkpoints, root {root}….{lost}"
    lines = [f"NOT verified: {report.origin}: {report.size} entries.{lost}"]
    lines += [f"  {one.check}: {one.what}" + ("" if one.position is None else f" at {one.position}") for one in report.findings]
    lines += [f"  between {report.interval[0]} and {report.interval[1]}"] if report.interval else []
    return "\n".join([*lines, *(f"  not checked: {one}" for one in report.not_checked)])
