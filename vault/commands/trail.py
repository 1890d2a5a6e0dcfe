"""Commands about the audit trail: verify."""

from pathlib import Path
from typing import Annotated, Any

import typer

from vault.audit.scan import GivenNote, Report
from vault.commands.say import AsJson, ControllerOption, answer, people, said, the_controller
from vault.errors import AuditUnavailable
from vault.opening import open_vault
from vault.operations.verify_trail import verify_alone
from vault.settings import read_settings

audit = typer.Typer(help="The tamper-evident trail of every access.", no_args_is_help=True)


@audit.command()
def verify(
    controller: ControllerOption = None,
    against: Annotated[list[Path] | None, typer.Option(help="A checkpoint somebody kept (a signed note); may be repeated.")] = None,
    key: Annotated[
        str | None, typer.Option(help="With --against: check with this verifier key alone, without keyring or state.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Recompute a controller's whole trail from its leaves. Exit status 1 if anything differs, or could not be checked.

    Names the first bad position, or the stretch between two checkpoints. An empty log, and one shorter than any checkpoint, fail.
    """
    with said(as_json=as_json), open_vault(read_settings()) as opened:
        controller = the_controller(opened.vault.database.controllers(), controller)
        notes = [GivenNote(path.name, path.read_text()) for path in against or ()]
        if key is not None:
            report = verify_alone(opened.sequencing, controller, opened.vault.settings.host, notes, key)
        else:
            try:
                opened.trail.settle(controller)
            except AuditUnavailable:
                people.print("What is pending could not be sequenced or signed: see the findings.")
            report = opened.verify(controller, notes)
    answer(report_document(report), as_json=as_json, text=_text(report))
    if not report.ok:
        raise typer.Exit(1)


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
    }


def _text(report: Report) -> str:
    if report.ok:
        return f"Verified: {report.size} entries, {report.checkpoints} checkpoints, root {report.root.hex()[:16]}…"
    lines = [f"NOT verified: {report.size} entries."]
    lines += [f"  {one.check}: {one.what}" + ("" if one.position is None else f" at {one.position}") for one in report.findings]
    lines += [f"  between {report.interval[0]} and {report.interval[1]}"] if report.interval else []
    return "\n".join([*lines, *(f"  not checked: {one}" for one in report.not_checked)])
