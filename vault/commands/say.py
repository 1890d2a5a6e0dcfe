"""How commands speak: people on stderr, programs on stdout, errors by code and place, never with a value."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vault.errors import Fault, InvalidValue, NotFound, Unavailable, VaultError

people = Console(stderr=True, highlight=False)
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, and nothing else there.")]
ControllerOption = Annotated[
    str | None, typer.Option("--controller", "-c", help="The controller (company) to work for; unset: the only one there is.")
]


def the_controller(known: Sequence[str], named: str | None) -> str:
    """Return the controller that is meant. Raises InvalidValue when none is named and there is not exactly one."""
    if named is not None and named not in known:
        raise NotFound("controller-not-found")
    if named is None and len(known) != 1:
        code = "controller.none: run `riserbo controllers add`" if not known else "controller.several: name one"
        raise InvalidValue(faults=[Fault("--controller", code)])
    return named or known[0]


def answer(document: Mapping[str, Any], *, as_json: bool, text: str) -> None:
    """Say the outcome: the document for programs, the text for people."""
    if as_json:
        typer.echo(orjson.dumps(document).decode())
    else:
        people.print(text)


def counting() -> Progress:
    """Return a bar for long work, for people."""
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=people, transient=True
    )


@contextmanager
def said(*, as_json: bool = False) -> Iterator[None]:
    """Turn an error of the vault into words and exit status 1: what is wrong, where, and whether to try again."""
    try:
        yield
    except VaultError as error:
        faults = [{"pointer": fault.pointer, "code": fault.code} for fault in error.faults]
        if as_json:
            typer.echo(orjson.dumps({"error": error.code, "errors": faults}).decode())
        people.print(f"[red]{error.code}[/red]")
        for fault in error.faults:
            people.print(f"  {fault.pointer}: {fault.code}")
        if isinstance(error, Unavailable):
            people.print("  What could not be recorded was neither done nor shown. Check `riserbo doctor`, then try again.")
        raise typer.Exit(1) from None


@contextmanager
def by_option(options: Mapping[str, str], allowed: Mapping[str, str]) -> Iterator[None]:
    """Name what is wrong by the option that states it, and say what it may be; both by the pointer of the member behind it."""
    try:
        yield
    except InvalidValue as error:
        faults = [
            Fault(options.get(one.pointer, one.pointer), ": ".join(filter(None, (one.code, allowed.get(one.pointer)))))
            for one in error.faults
        ]
        raise InvalidValue(error.code, faults=faults) from None
