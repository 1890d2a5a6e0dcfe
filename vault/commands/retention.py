"""Commands for retention: what is over, and removing it now. Approving what waits is the officers', over the API."""

import typer

from vault.commands.say import AsJson, ControllerOption, answer, people, said, the_controller
from vault.opening import open_vault
from vault.operations.retain import find_over, run_retention, told
from vault.settings import read_settings

retention = typer.Typer(help="What no agreement and no duty keeps any more.", no_args_is_help=True)


@retention.command("preview")
def retention_preview(controller: ControllerOption = None, as_json: AsJson = False) -> None:
    """Say what the next run would remove, by rule, and what waits: numbers, and nobody. `late` should be 0."""
    with said(as_json=as_json), open_vault(read_settings()) as opened:
        here = the_controller(opened.vault.database.controllers(), controller)
        found = told(find_over(opened.vault.governed(here), here))
    for one in found["rules"]:
        after = f"  next after {one['next']}" if one["next"] else ""
        people.print(f"{one['template']:<24} {one['law']:<20} {one['due']:>8} over {one['kept']:>8} kept{after}")
    for name, count in found["blocked"].items():
        people.print(f"{name:<24} {count:>8} wait")
    waits = "; it waits for an officer's approval" if found["waits"] else ""
    answer(found, as_json=as_json, text=f"{found['due']} of {found['people']} people due, {found['late']} late{waits}")


@retention.command("run")
def retention_run(controller: ControllerOption = None, as_json: AsJson = False) -> None:
    """Remove it now, as the worker does each night. What is out of proportion waits for an officer."""
    with said(as_json=as_json), open_vault(read_settings()) as opened:
        here = the_controller(opened.vault.database.controllers(), controller)
        vault = opened.vault.governed(here)
        removed = run_retention(vault, here)
        left = told(find_over(vault, here))
        document = {"removed": removed, "due": left["due"], "waits": left["waits"]}
        waits = f"; {left['due']} wait for an officer's approval" if left["waits"] else ""
        answer(document, as_json=as_json, text=f"{removed} people removed{waits}")
