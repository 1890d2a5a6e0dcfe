"""`riserbo`: the operator's commands. `riserbo --help` lists them; each says what it does and what it asks for."""

import typer

from vault.commands.checking import config_check, doctor
from vault.commands.data import import_file, profile
from vault.commands.demo import demo
from vault.commands.exporting_entries import export_entries
from vault.commands.exports import exports
from vault.commands.keys import keys
from vault.commands.policy import policy
from vault.commands.processing import processing
from vault.commands.recipients import recipients
from vault.commands.requests import requests
from vault.commands.restoring import restore
from vault.commands.retention import retention
from vault.commands.running import serve, token, worker
from vault.commands.setting_up import callers, controllers, migrate
from vault.commands.trail import audit
from vault.logs import configure_logs

app = typer.Typer(
    name="riserbo",
    help="The vault between a company's customers and its helpdesk. Start with `riserbo demo`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # a traceback with locals would show values
)
config = typer.Typer(help="Settings (environment variables RISERBO_…).", no_args_is_help=True)
config.command("check")(config_check)
app.command()(demo)
app.command()(serve)
app.command()(worker)
app.command()(migrate)
app.add_typer(controllers, name="controllers")
app.add_typer(callers, name="callers")
app.command(name="import")(import_file)
app.command()(profile)
app.command()(token)
audit.command(name="export-entries")(export_entries)
app.add_typer(audit, name="audit")
app.add_typer(policy, name="policy")
app.add_typer(exports, name="exports")
app.command()(doctor)
app.command()(restore)
app.command()(requests)
app.add_typer(recipients, name="recipients")
app.add_typer(retention, name="retention")
app.command()(processing)
app.add_typer(keys, name="keys")
app.add_typer(config, name="config")


def main() -> None:
    """Run a command; logs are JSON lines on stderr."""
    configure_logs()
    app()


if __name__ == "__main__":
    main()
