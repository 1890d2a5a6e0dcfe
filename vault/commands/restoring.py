"""The command after a restored backup: what the erasure ledger tells of is carried out again, and nothing is served before."""

from typing import Annotated

import typer

from vault.commands.say import AsJson, ControllerOption, answer, people, said
from vault.errors import Fault, InvalidValue
from vault.opening import open_vault
from vault.settings import read_settings


def restore(
    controller: ControllerOption = None,
    *,
    replay_erasures: Annotated[
        bool,
        typer.Option(
            "--replay-erasures", help="Erase, withdraw, restrict, obscure and contest again what the backup brought back."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Bring a restored database level with the erasure ledger, for every controller. Safe to kill and to repeat.

    If the trail went back too, `riserbo audit recover` comes first: nothing is done that cannot be recorded.
    """
    with said(as_json=as_json):
        if not replay_erasures:
            raise InvalidValue(faults=[Fault("--replay-erasures", "option.needed")])
        with open_vault(read_settings()) as opened:
            known = [one for one in opened.vault.database.controllers() if controller in (None, one)]
            done = {one: opened.replay(one) for one in known}
        acts = {name: dict(one.acts) for name, one in done.items()}
        for name, one in done.items():
            people.print(f"{name}: {sum(one.acts.values())} acts of the ledger, {one.people} people found here.")
        answer({"replayed": acts}, as_json=as_json, text="Level with the ledger.")
