"""Commands about the policy bundle and what was decided by it: test, explain."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vault.commands.explaining import explain
from vault.commands.say import AsJson, people
from vault.policy.bundle import load_bundle, shipped
from vault.policy.mutation import Mutations, mutants, mutation
from vault.policy.trial import Candidate, Outcome, invariant_checks, matrix_checks, tried

policy = typer.Typer(
    help="The policy bundle: what each role may see, and how a change of it comes into force.", no_args_is_help=True
)

policy.command()(explain)

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
        people.print(str(error), markup=False)
        _end(Outcome(0, ()), Mutations(0, ()), ok=False, as_json=as_json)
        return
    checks = list(matrix_checks(bundle))
    held = [*checks, *invariant_checks(bundle)]
    with _advancing("cases", sum(one.cases for one in held), quiet=as_json) as advance:
        outcome = tried(Candidate.of(bundle), held, advance)
    slips = Mutations(0, ())
    if not outcome.failed:  # whether cases notice a slip can be asked only of cases that hold
        every = list(mutants(bundle.policies))
        with _advancing("slips", len(every), quiet=as_json) as advance:
            slips = mutation(bundle, checks, every, advance)
    for one in outcome.failed:
        people.print(f"[red]failed[/red]  {one}")
    for one in slips.survivors:
        people.print(f"[yellow]unnoticed[/yellow]  {one}")
    _end(outcome, slips, ok=not outcome.failed and slips.enough, as_json=as_json)


def _end(outcome: Outcome, slips: Mutations, *, ok: bool, as_json: bool) -> None:
    document: dict[str, Any] = {
        "cases": outcome.cases,
        "passed": outcome.passed,
        "mutation": {"killed": slips.killed, "total": slips.total},
    }
    if as_json:
        typer.echo(orjson.dumps(document).decode())
    else:
        people.print(f"{outcome.passed} of {outcome.cases} cases hold; {slips.killed} of {slips.total} slips are noticed")
    if not ok:
        raise typer.Exit(1)


@contextmanager
def _advancing(what: str, total: int, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=people, transient=True, disable=quiet) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.advance(task, done)
