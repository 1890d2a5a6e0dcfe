"""Commands about decisions: explain."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from vault.commands.say import AsJson, ControllerOption, answer, said, the_controller
from vault.opening import open_vault
from vault.operations.explain import explain_in_house
from vault.settings import read_settings


def explain(
    decision_id: Annotated[str, typer.Argument(help="dec_…: the Vault-Decision of an answer.")],
    controller: ControllerOption = None,
    as_json: AsJson = False,
) -> None:
    """Explain one decision: taken again from its record, which must come out the same. No value is shown; the reading is on record.

    Exit status 1 when there is no such decision, when its bundle is not kept, or when it comes out otherwise (an alarm).
    """
    with said(as_json=as_json), open_vault(read_settings()) as opened:
        name = the_controller(opened.vault.database.controllers(), controller)
        told = explain_in_house(opened.vault.governed(name), name, decision_id)
        answer(told.document, as_json=as_json, text=_text(told.document))


def _text(told: Mapping[str, Any]) -> str:
    lines = [f"{told['decision_id']}: {told['operation']}, {told['outcome']}, at {told['at']}"]
    if "fields" not in told:
        return "\n".join([*lines, f"  {told['because'] or 'no field was decided on'}"])
    lines += [f"  bundle {told['policy']}", f"  row    {told['row']}  (comes out the same)"]
    for one in told["agreements"]:
        lines.append(f"  {one['agreement_id']} {one['template']} ({one['phase']}): {len(one['lawful'])} fields lawful")
    for name, one in told["fields"].items():
        shown = f"{one['state']} {one['mask']}" if one["mask"] else one["state"]
        lines.append(f"  {name}: {shown}, {one['because']} ({', '.join(one['policies'])})")
    return "\n".join(lines)
