"""Commands for keys: the keyring, epochs, and exports of keys. Nothing they print opens anything."""

from pathlib import Path
from typing import Annotated, Any

import typer

from vault.commands.say import AsJson, answer, people, said
from vault.opening import found_keyring, open_vault, restore_exported_keys
from vault.operations.destroy_epochs import Root
from vault.settings import read_settings

keys = typer.Typer(help="The keyring, epochs of keys, and exports of keys.", no_args_is_help=True)
_WHY = {
    "in-use": "a controller still has its key",
    "no-newer-export": "no newer key export was made: `riserbo keys export`",
    "exports-live": "key exports it opens are younger than RISERBO_KEY_EXPORT_DAYS",
    "destroyed": "may be destroyed",
}


@keys.command("init")
def keys_init(as_json: AsJson = False) -> None:
    """Make the keyring for a vault on a PostgreSQL of your own (the embedded default makes its own). Never over an existing one."""
    with said(as_json=as_json):
        settings = read_settings()
        found_keyring(settings)
        text = f"The keyring is in {settings.keyring}, unsealed by {settings.credential}. Back the two up apart from each other."
        answer({"keyring": str(settings.keyring), "credential": str(settings.credential)}, as_json=as_json, text=text)


@keys.command("status")
def keys_status(as_json: AsJson = False) -> None:
    """Say for each epoch whether its root key lives, until when it is needed and why, and which key exports there are."""
    with said(as_json=as_json), open_vault(read_settings()) as opened:
        roots, kept = opened.roots(), opened.key_exports.kept()
        for one in roots:
            people.print(f"epoch {one.epoch}: {one.state}{_when(one)}")
        people.print(f"{len(kept)} key exports in {opened.vault.settings.exports_of_keys}")
        answer({"epochs": [_told(one) for one in roots], "exports": [one.name for one in kept]}, as_json=as_json, text="")


@keys.command("rotate")
def keys_rotate(as_json: AsJson = False) -> None:
    """Begin the next epoch now: a new key for each controller, every wrap made anew. `riserbo worker` closes the old one.

    Do it at once when a key may have been seen. Repeated while an epoch is closing, it goes on with that.
    """
    with said(as_json=as_json), open_vault(read_settings()) as opened:
        done = opened.change_epochs(at_once=True)
        for name, one in done.items():
            people.print(f"{name}: epoch {one.epoch}, {one.rewrapped} wraps made anew, the old key is {_OLD[one.state]}.")
        document = {name: {"epoch": one.epoch, "state": one.state, "rewrapped": one.rewrapped} for name, one in done.items()}
        answer({"controllers": document}, as_json=as_json, text="")


@keys.command("export")
def keys_export(as_json: AsJson = False) -> None:
    """Export the keys into RISERBO_KEY_EXPORTS: what a data backup without schema `keys` needs to open. It is read again first."""
    with said(as_json=as_json), open_vault(read_settings()) as opened:
        made = opened.export_keys()
        document = {"made_at": made.made_at.isoformat(), "epoch": made.epoch, "rows": made.rows, "sha256": made.digest.hex()}
        answer(document, as_json=as_json, text=f"{made.rows} rows, sealed by the root of epoch {made.epoch}, opened again.")


@keys.command("restore")
def keys_restore(
    file: Annotated[Path, typer.Argument(help="A key export (.rsx).", exists=True, dir_okay=False)], as_json: AsJson = False
) -> None:
    """Put a key export into a database whose data were restored without keys. Then `riserbo restore --replay-erasures`."""
    with said(as_json=as_json):
        done = restore_exported_keys(read_settings(), file)
        for name, rows in done.items():
            people.print(f"{name}: {rows} rows.")
        text = "The keys are back. Next: `riserbo audit recover`, then `riserbo restore --replay-erasures`."
        answer({"restored": done}, as_json=as_json, text=text)


@keys.command("destroy-epoch")
def keys_destroy_epoch(
    epoch: Annotated[int, typer.Argument(help="Which one; `riserbo keys status` lists them.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Destroy the root key of an epoch that is over, for ever. Nothing sealed under it alone opens again, in any backup."""
    with said(as_json=as_json), open_vault(read_settings()) as opened:
        if not (yes or as_json):
            typer.confirm(f"Destroy the root key of epoch {epoch}? Key exports from before its end become worthless", abort=True)
        gone = opened.destroy_epoch(epoch)
        answer(_told(gone), as_json=as_json, text=f"epoch {epoch}: {gone.state}")


_OLD = {"open": "gone", "closing": "closing"}


def _when(one: Root) -> str:
    if one.state in ("destroyed", "pending"):
        return ""
    return f", {_WHY[one.why]}" + (f", until {one.due_at:%Y-%m-%d}" if one.due_at is not None else "")


def _told(one: Root) -> dict[str, Any]:
    return {"epoch": one.epoch, "state": one.state, "why": one.why, "due_at": one.due_at.isoformat() if one.due_at else None}
