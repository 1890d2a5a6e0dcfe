"""Commands for emergencies: deny, denials, lift. What they change is in force with the next reading of every process."""

from typing import Annotated, Any

import typer

from vault.commands.say import AsJson, ControllerOption, answer, by_option, said, the_controller
from vault.opening import open_vault
from vault.operations.callers import ROLES
from vault.operations.deny import Denial, Order, What, closed_lists, denials_in_force, lift_denial
from vault.operations.deny import deny as deny_now
from vault.policy.model import CHANNELS
from vault.settings import read_settings

_MEMBERS = {"role": "role", "caller_id": "caller", "purpose": "purpose", "field": "field", "class": "class"}
_MEMBERS |= {"channel": "channel", "recipient": "recipient", "hours": "hours", "why": "why"}
_CRITERIA = "--role --caller --purpose --field --class --channel --recipient"
_OPTIONS = {f"/{member}": f"--{option}" for member, option in _MEMBERS.items()} | {"/what": _CRITERIA}
_ALLOWED = {"/what": "state at least one", "/hours": "1 to 72"}
WhyOption = Annotated[str, typer.Option(help="Why, in your own words: at least 20 characters, for officers alone.")]


def deny(
    why: WhyOption,
    hours: Annotated[int, typer.Option(help="For how long: 1 to 72.")] = 24,
    role: Annotated[str | None, typer.Option(help=f"Callers of this role: {' '.join(sorted(ROLES))}, or customer.")] = None,
    caller: Annotated[str | None, typer.Option(help="This caller: the `sub` of their token.")] = None,
    purpose: Annotated[str | None, typer.Option(help="Readings for this purpose.")] = None,
    field: Annotated[str | None, typer.Option(help="This field; without field and class: every field.")] = None,
    class_name: Annotated[
        str | None, typer.Option("--class", help="Fields of this class: of the catalogue, such as financial.")
    ] = None,
    channel: Annotated[str | None, typer.Option(help=f"Readings over this channel: {' '.join(sorted(CHANNELS))}.")] = None,
    recipient: Annotated[str | None, typer.Option(help="Callers who work for this party.")] = None,
    controller: ControllerOption = None,
    as_json: AsJson = False,
) -> None:
    """Withhold at once what policy would show: whatever meets all that is stated. It can only deny, and ends by itself.

    In force with the next reading, in every process. On record, and told to those who listen.
    """
    with said(as_json=as_json), open_vault(read_settings()) as opened:
        order = Order(What(role, caller, purpose, field, class_name, channel, recipient), hours, why)
        name = the_controller(opened.vault.database.controllers(), controller)
        closing = opened.vault.closing(name)
        allowed = {f"/{member}": " ".join(sorted(names)) for member, names in closed_lists(closing, name).items()}
        with by_option(_OPTIONS, _ALLOWED | allowed):
            made = deny_now(closing, name, order)
        answer(_document(made), as_json=as_json, text=f"Denied: {_line(made)}")


def denials(controller: ControllerOption = None, as_json: AsJson = False) -> None:
    """List the emergency denials in force, the latest first."""
    with said(as_json=as_json), open_vault(read_settings()) as opened:
        name = the_controller(opened.vault.database.controllers(), controller)
        found = denials_in_force(opened.vault.closing(name), name)
        text = "\n".join(map(_line, found)) or "Nothing is denied."
        answer({"denials": [_document(one) for one in found]}, as_json=as_json, text=text)


def lift(
    denial_id: Annotated[str, typer.Argument(help="dny_…, as `riserbo policy denials` lists it.")],
    controller: ControllerOption = None,
    as_json: AsJson = False,
) -> None:
    """End an emergency denial before its time: policy alone decides again from the next reading on."""
    with said(as_json=as_json), open_vault(read_settings()) as opened:
        name = the_controller(opened.vault.database.controllers(), controller)
        entry_id = lift_denial(opened.vault.governed(name), name, denial_id)
        answer({"denial_id": denial_id, "entry_id": entry_id}, as_json=as_json, text=f"{denial_id} is lifted ({entry_id}).")


def _document(one: Denial) -> dict[str, Any]:
    times = {"began_at": one.began_at.isoformat(), "ends_at": one.ends_at.isoformat()}
    return {"denial_id": one.denial_id, "denied": one.what.stated(), **times, "entry_id": one.entry_id}


def _line(one: Denial) -> str:
    stated = ", ".join(f"{name} {value}" for name, value in one.what.stated().items())
    return f"{one.denial_id}: {stated}, until {one.ends_at.isoformat(timespec='seconds')}"
