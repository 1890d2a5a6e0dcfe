"""Commands for the register of recipients: who receives data, and on what terms."""

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from vault.commands.say import AsJson, ControllerOption, answer, by_option, said, the_controller
from vault.commands.setting_up import INSTANTS
from vault.connectors.webhooks import Webhooks
from vault.opening import open_vault
from vault.operations.deliver_tasks import deliver_tasks
from vault.operations.notify_recipients import notify_recipients
from vault.operations.register_recipient import end_recipient, register_recipient
from vault.operations.webhook_key import webhook_key
from vault.recipients.register import CHANNELS, ROLES, Entry
from vault.settings import read_settings

recipients = typer.Typer(help="The register of recipients: who receives data, and on what terms.", no_args_is_help=True)
_OPTIONS = {
    "/name": "NAME", "/party": "--party", "/role": "--role", "/country": "--country", "/transfer_tool": "--transfer-tool",
    "/contract": "--contract", "/contract_from": "--contract-from", "/contract_until": "--contract-until",
    "/instructions": "--instructions", "/subprocessors": "--subprocessor", "/channel": "--channel", "/endpoint": "--endpoint",
    "/days": "--days", "/certificate": "--certificate",
}  # fmt: skip
_ALLOWED = {
    "/role": " ".join(ROLES), "/channel": " ".join(CHANNELS), "/country": "two capital letters, ISO 3166-1 alpha-2, such as IT",
    "/transfer_tool": "none, or an article such as A45-3 or A46-2-c", "/days": "1 to 365",
    "/certificate": "in PEM, RSA of 2048 bits or more, with --channel opendsr and only with it",
    "/contract_from": "with --contract, and only with it",
    "/endpoint": "an https address, with --channel webhook or opendsr and only with them",
}  # fmt: skip


@recipients.command("add")
def recipients_add(
    name: Annotated[str, typer.Argument(help="As callers and the trail name it: lower-case letters, digits and -.")],
    party: Annotated[str, typer.Option(help="As which party agreements name it, such as helpdesk.")],
    role: Annotated[str, typer.Option(help=f"{' '.join(ROLES)}.")] = "processor",
    country: Annotated[str, typer.Option(help="Where data go, ISO 3166-1 alpha-2.")] = "IT",
    transfer_tool: Annotated[str, typer.Option(help="The ground on which data leave the EEA, such as A46-2-c.")] = "none",
    contract: Annotated[str | None, typer.Option(help="Reference of the processing agreement (Art. 28).")] = None,
    contract_from: Annotated[datetime | None, typer.Option(formats=INSTANTS, help="In force from then on (UTC).")] = None,
    contract_until: Annotated[datetime | None, typer.Option(formats=INSTANTS, help="In force until then (UTC).")] = None,
    instructions: Annotated[str | None, typer.Option(help="Reference of its instructions.")] = None,
    subprocessor: Annotated[list[str] | None, typer.Option(help="Whom it engages; may be repeated.")] = None,
    channel: Annotated[str, typer.Option(help=f"How it is told of erasures: {' '.join(CHANNELS)}.")] = "manual",
    endpoint: Annotated[str | None, typer.Option(help="Where it is told: of OpenDSR the address before /requests.")] = None,
    certificate: Annotated[Path | None, typer.Option(help="Certificate in PEM, by which OpenDSR callbacks are checked.")] = None,
    days: Annotated[int, typer.Option(help="Until when it is to have answered.")] = 30,
    controller: ControllerOption = None,
    as_json: AsJson = False,
) -> None:
    """Register a recipient, or change what is registered; effective with the next read. Without a ground in law it gets nothing."""
    with said(as_json=as_json), open_vault(read_settings()) as opened:
        since, until = (None if one is None else one.replace(tzinfo=UTC) for one in (contract_from, contract_until))
        entry = Entry(
            name, party, role, country, transfer_tool, contract, since, until, instructions, subprocessor or (), channel,
            endpoint, days, certificate.read_bytes() if certificate is not None else None,
        )  # fmt: skip
        here = the_controller(opened.vault.database.controllers(), controller)
        with by_option(_OPTIONS, _ALLOWED):
            made = register_recipient(opened.vault.governed(here), here, entry)
        document = {"recipient_id": made.recipient_id, "name": made.name, "entry_id": made.entry_id}
        answer(document, as_json=as_json, text=f"{made.name} is registered as {made.recipient_id} ({made.entry_id}).")


@recipients.command("end")
def recipients_end(
    name: Annotated[str, typer.Argument(help="As callers and the trail name it.")],
    controller: ControllerOption = None,
    as_json: AsJson = False,
) -> None:
    """Say that data go there no more: it gets nothing from the next read on."""
    with said(as_json=as_json), open_vault(read_settings()) as opened:
        here = the_controller(opened.vault.database.controllers(), controller)
        entry_id = end_recipient(opened.vault.closing(here), here, name)
        answer({"name": name, "entry_id": entry_id}, as_json=as_json, text=f"{name} gets nothing now ({entry_id}).")


@recipients.command("tell")
def recipients_tell(controller: ControllerOption = None, as_json: AsJson = False) -> None:
    """Make and send now what recipients are to be told; the worker does so each minute."""
    with said(as_json=as_json), open_vault(read_settings()) as opened, closing(Webhooks(opened.vault.monotonic)) as post:
        here = the_controller(opened.vault.database.controllers(), controller)
        opened.trail.settle(here)
        vault = opened.vault.governed(here)
        made, sent = notify_recipients(vault, here), deliver_tasks(vault, here, post)
        answer({"made": made, "sent": sent}, as_json=as_json, text=f"{made} tasks made, {sent} messages sent.")


@recipients.command("key")
def recipients_key(
    name: Annotated[str, typer.Argument(help="As callers and the trail name it.")],
    change: Annotated[
        bool, typer.Option("--change", help="Make a new one; for seven days messages carry both signatures.")
    ] = False,
    controller: ControllerOption = None,
    as_json: AsJson = False,
) -> None:
    """Show the key a recipient checks its webhooks with (Standard Webhooks), to be handed over on a safe way. On record."""
    with said(as_json=as_json), open_vault(read_settings()) as opened:
        here = the_controller(opened.vault.database.controllers(), controller)
        key, entry_id = webhook_key(opened.vault.closing(here), here, name, change=change)
        answer({"name": name, "key": key, "entry_id": entry_id}, as_json=as_json, text=key)
