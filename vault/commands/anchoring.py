"""Commands about what lies outside the database: recover."""

from typing import Annotated, Any

import typer

from vault.commands.say import AsJson, ControllerOption, answer, people, said, the_controller
from vault.errors import Fault, InvalidValue
from vault.opening import open_vault
from vault.operations.recover import Decided, Recovered
from vault.settings import read_settings


def recover(
    controller: ControllerOption = None,
    writer: Annotated[
        str | None, typer.Option(help="Only reject the pending entries of this writer, whose chain is broken.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Go on after the log went back behind what was signed: it is frozen, and the next era says what is lost. Asks for two people.

    The only way on after a rollback. With --writer: after a chain that does not hold; that writer's rows are moved aside.
    """
    with said(as_json=as_json), open_vault(read_settings()) as opened:
        name = the_controller(opened.vault.database.controllers(), controller)
        closed = opened.trail_health.state(name).closed
        people.print(f"The log of {name}: {' '.join(closed) or 'nothing is wrong with it'}.")
        people.print("Keep a copy of the database as it is before you go on: this cannot be taken back.")
        decided = _asked(name)
        if writer is not None:
            gone = opened.reject(name, writer, decided)
            text = f"{gone.count} entries of {writer} after number {gone.number} were moved aside, unchanged; the log says so."
            answer({"writer": writer, "number": gone.number, "count": gone.count}, as_json=as_json, text=text)
            return
        done = opened.recover(name, decided)
        answer(_recovered(done), as_json=as_json, text=_told(done))


def _asked(name: str) -> Decided:
    first = typer.prompt("First operator", err=True)
    second = typer.prompt("Second operator", err=True)
    reason = typer.prompt("Reason", err=True)
    if typer.prompt(f"Type {name} to go on", err=True) != name:
        raise InvalidValue(faults=[Fault("controller", "not-confirmed")])
    return Decided((first, second), reason)


def _recovered(done: Recovered) -> dict[str, Any]:
    return {
        "era": done.era,
        "lost": done.beginning.lost,
        "kept": done.beginning.kept,
        "frozen": {"origin": done.beginning.origin, "size": done.beginning.size},
        "checkpoint": done.note,
        "rejected": [{"writer": one.writer_id, "number": one.number, "count": one.count} for one in done.rejected],
    }


def _told(done: Recovered) -> str:
    moved = sum(one.count for one in done.rejected)
    return (
        f"{done.beginning.origin} is frozen at {done.beginning.size} entries; {done.beginning.lost} that were signed are lost.\n"
        f"Era {done.era} has begun, and says so. {moved} pending entries were moved aside.\n"
        "Tell the data protection officer: their witness will report the change of era. Then run `riserbo audit verify`."
    )
