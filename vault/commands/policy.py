"""Commands about the policy bundle: test, plan, and those of its siblings `activating`, `denying` and `explaining`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vault.commands.activating import new_key, policy_activate, policy_history, rollback, sign
from vault.commands.denying import denials, deny, lift
from vault.commands.explaining import explain
from vault.commands.say import AsJson, answer, people
from vault.policy.bundle import load_bundle, shipped
from vault.policy.mutation import Mutations, mutants, mutation
from vault.policy.plan import plan
from vault.policy.trial import Candidate, Outcome, invariant_checks, matrix_checks, tried

policy = typer.Typer(
    help="The policy bundle: what each role may see, and how a change of it comes into force.", no_args_is_help=True
)

policy.command("new-key")(new_key)
policy.command()(sign)
policy.command("activate")(policy_activate)
policy.command()(rollback)
policy.command("history")(policy_history)
policy.command()(explain)
policy.command()(deny)
policy.command()(denials)
policy.command()(lift)

BundleArgument = Annotated[
    Path | None,
    typer.Argument(help="Directory of a bundle; unset: the one that came with this program.", exists=True, file_okay=False),
]


@policy.command("test")
def policy_test(directory: BundleArgument = None, as_json: AsJson = False) -> None:
    """Check a bundle: its form, every case of its matrix, what must always hold, and whether the cases would notice a slip.

    Takes about a minute. Exit status 0: everything holds. 1: something does not, and is named. 2: the command was misused.
    """
    try:
        bundle = load_bundle(directory or shipped())
    except ValueError as error:
        _unfit(directory or shipped(), error)
        _end(Outcome(0, ()), Mutations(0, ()), ok=False, as_json=as_json)
        return
    candidate, checks = Candidate.of(bundle), list(matrix_checks(bundle))
    held = [*checks, *invariant_checks(bundle)]
    with _advancing("cases", sum(one.cases for one in held), quiet=as_json) as advance:
        outcome = tried(candidate, held, advance)
    slips = Mutations(0, ())
    if not outcome.failed:  # whether cases notice a slip can be asked only of cases that hold
        every = list(mutants(bundle.policies))
        with _advancing("slips", len(every), quiet=as_json) as advance:
            slips = mutation(candidate, checks, every, advance)
    for one in outcome.failed:
        people.print("[red]failed[/red] ", escape(one))
    for one in slips.survivors:
        people.print(f"[yellow]unnoticed[/yellow]  {one}")
    _end(outcome, slips, ok=not outcome.failed and slips.enough, as_json=as_json)


@policy.command("keeping")
def policy_keeping(directory: BundleArgument = None, as_json: AsJson = False) -> None:
    """Say how long the house keeps its own records under a bundle, by which law, and what counsel is to confirm."""
    try:
        keeping = load_bundle(directory or shipped()).keeping
    except ValueError as error:
        _unfit(directory or shipped(), error)
        raise typer.Exit(1) from None
    rows = [{"what": what, "period": one.period, "law": list(one.law), "counsel": one.counsel} for what, one in keeping.items()]
    lines = [f"{what:18}{one.period:8}{', '.join(one.law)}{' (counsel)' if one.counsel else ''}" for what, one in keeping.items()]
    answer({"keeping": rows}, as_json=as_json, text="\n".join(lines))


@policy.command("plan")
def policy_plan(
    bundles: Annotated[
        list[Path],
        typer.Argument(
            metavar="[OLD] NEW", help="Directories of bundles; OLD unset: the shipped one.", exists=True, file_okay=False
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Say who would see more (WIDENS), less (NARROWS) or another mask (MASK) under a new bundle.

    Exit status 1 when somebody would see more and `plan/accepted.yaml` of the new bundle does not say why, and who decided it.
    """
    if len(bundles) > 2:
        raise typer.BadParameter("two bundles at most")
    old, new = (_compared(one) for one in (*([shipped()] if len(bundles) == 1 else []), *bundles))
    with _advancing("contexts", None, quiet=as_json) as advance:
        found = plan(old, new, advance=advance)
    rows: list[dict[str, Any]] = [
        {"kind": one.kind, **one.document, "fields": list(fields), "accepted": one.kind == "WIDENS" and one not in found.unaccepted}
        for one, fields in found.changes.items()
    ]
    if as_json:
        typer.echo(orjson.dumps({"from": found.old, "to": found.new, "changes": rows}).decode())
    else:
        for row in rows:
            place = f"{row['role']}, {row['purpose']}: {row['category']} ({' '.join(row['fields'])}) by {row['policy']}"
            people.print(f"{row['kind']:8}{place}" + (" (accepted)" if row["accepted"] else ""), markup=False)
        people.print(f"{len(rows)} differences, {len(found.unaccepted)} of them to be accepted", markup=False)
        people.print(f"from: {found.old}", markup=False)
    if found.unaccepted:
        raise typer.Exit(1)


def _compared(directory: Path) -> Candidate:
    try:
        return Candidate.of(load_bundle(directory), held=False)
    except ValueError as error:
        _unfit(directory, error)
        raise typer.Exit(1) from None


def _unfit(directory: Path, error: ValueError) -> None:
    """Say which directory it is, first of all where it holds no bundle at all, then each fault."""
    lacking = "" if (directory / "catalogue.yaml").exists() else " (no catalogue.yaml)"
    people.print(f"{directory} is not a sound bundle{lacking}:", markup=False, soft_wrap=True)
    people.print(str(error), markup=False)


def _end(outcome: Outcome, slips: Mutations, *, ok: bool, as_json: bool) -> None:
    document: dict[str, Any] = {
        "cases": outcome.cases,
        "passed": outcome.passed,
        "mutation": {"killed": slips.killed, "total": slips.total},
    }
    if as_json:
        typer.echo(orjson.dumps(document).decode())
    else:
        tried_too = f"{slips.killed} of {slips.total} slips are noticed" if slips.total else "slips not tried: a case fails"
        people.print(f"{outcome.passed} of {outcome.cases} cases hold; {tried_too}" if outcome.cases else "Nothing was tried.")
    if not ok:
        raise typer.Exit(1)


@contextmanager
def _advancing(what: str, total: int | None, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=people, transient=True, disable=quiet) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.advance(task, done)
