"""Commands that prepare an installation: migrate, controllers, callers."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from vault.commands.say import AsJson, ControllerOption, answer, by_option, said, the_controller
from vault.opening import open_vault, reach_database
from vault.operations.callers import ALONE, APART, ROLES, Registration, end_registration, register_caller
from vault.operations.migrate import migrate as run_migrations
from vault.policy.lexicon import TRAINING
from vault.settings import read_settings

_ROLES = f"{' '.join(sorted(ROLES))}; each of {' '.join(sorted(ALONE))} alone; never both of {' '.join(sorted(APART))}"
_OPTIONS = {
    "/roles": "--role", "/caller_id": "CALLER_ID", "/team": "--team", "/region": "--region", "/training": "--training",
    "/training_until": "--trained-until", "/acts_for_agents": "--acts-for-agents",
}  # fmt: skip
_ALLOWED = {
    "/roles": _ROLES,
    "/region": "two capital letters, ISO 3166-1 alpha-2, such as IT",
    "/training": " ".join(TRAINING),
    "/acts_for_agents": "for --role system alone",
}
INSTANTS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]
controllers = typer.Typer(help="Companies whose customers' data are kept here.", no_args_is_help=True)
callers = typer.Typer(help="The register of callers: who may ask, in which roles, until when.", no_args_is_help=True)


def migrate(as_json: AsJson = False) -> None:
    """Create the roles (embedded server, or RISERBO_DATABASE_ADMIN_URL) and bring every table to this version. Safe to repeat."""
    with said(as_json=as_json):
        settings = read_settings()
        with reach_database(settings) as addresses:
            run_migrations(addresses.url, addresses.admin_url)
        answer({"migrated": True}, as_json=as_json, text="The database is at this version.")


@controllers.command("add")
def controllers_add(
    controller_id: Annotated[str, typer.Argument(help="Lower-case letters, digits, - and _; at most 63.")],
    zone: Annotated[str, typer.Option(help="Time zone in which its days end.")] = "Europe/Rome",
    languages: Annotated[str, typer.Option(help="Languages of its texts: it, en, or both with a comma.")] = "it,en",
    as_json: AsJson = False,
) -> None:
    """Create a controller: its keys, its secrets and its own audit log. In an empty RISERBO_HOME, the vault with it."""
    with said(as_json=as_json), open_vault(read_settings(), founding=True) as opened:
        opened.add_controller(controller_id, zone, [one.strip() for one in languages.split(",") if one.strip()])
        answer({"controller_id": controller_id}, as_json=as_json, text=f"Controller {controller_id} is created.")


@callers.command("add")
def callers_add(
    caller_id: Annotated[str, typer.Argument(help="The `sub` of their token (a system: its client id).")],
    role: Annotated[list[str], typer.Option(help=f"May be repeated. {_ROLES}.")],
    controller: ControllerOption = None,
    team: Annotated[str | None, typer.Option(help="Their team at the helpdesk.")] = None,
    training: Annotated[list[str] | None, typer.Option(help=f"Training on record; may be repeated. {' '.join(TRAINING)}.")] = None,
    recipient: Annotated[str, typer.Option(help="The party they work for: controller, helpdesk or care-unit.")] = "helpdesk",
    region: Annotated[str, typer.Option(help="Country of their desk, ISO 3166-1 alpha-2.")] = "IT",
    valid_from: Annotated[datetime | None, typer.Option("--from", formats=INSTANTS, help="Valid from then on (UTC); now.")] = None,
    valid_until: Annotated[datetime | None, typer.Option("--until", formats=INSTANTS, help="Valid until then (UTC).")] = None,
    trained_until: Annotated[datetime | None, typer.Option(formats=INSTANTS, help="The training counts until then (UTC).")] = None,
    acts_for_agents: Annotated[bool, typer.Option(help="A system whose tokens may name an agent it acts for.")] = False,
    as_json: AsJson = False,
) -> None:
    """Register a caller, or change what is registered. Effective with the next read."""
    with said(as_json=as_json), open_vault(read_settings()) as opened:
        ends = dict.fromkeys(training or (), trained_until.replace(tzinfo=UTC)) if trained_until is not None else {}
        start, end = (None if one is None else one.replace(tzinfo=UTC) for one in (valid_from, valid_until))
        registration = Registration(caller_id, role, team, training or (), recipient, region, end, start, ends, acts_for_agents)
        name = the_controller(opened.vault.database.controllers(), controller)
        with by_option(_OPTIONS, _ALLOWED):
            entry_id = register_caller(opened.vault.governed(name), name, registration)
        answer({"caller_id": caller_id, "entry_id": entry_id}, as_json=as_json, text=f"{caller_id} is registered ({entry_id}).")


@callers.command("end")
def callers_end(
    caller_id: Annotated[str, typer.Argument(help="The `sub` of their token (a system: its client id).")],
    controller: ControllerOption = None,
    as_json: AsJson = False,
) -> None:
    """End a caller's registration: they may nothing from the next read on, in every process."""
    with said(as_json=as_json), open_vault(read_settings()) as opened:
        name = the_controller(opened.vault.database.controllers(), controller)
        entry_id = end_registration(opened.vault.closing(name), name, caller_id)
        answer({"caller_id": caller_id, "entry_id": entry_id}, as_json=as_json, text=f"{caller_id} may nothing now ({entry_id}).")
