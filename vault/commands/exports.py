"""Commands about what people take away: check a package, and make those that wait."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated
from zipfile import BadZipFile, ZipFile

import typer

from vault.commands.say import AsJson, ControllerOption, answer, said, the_controller
from vault.errors import Fault, InvalidValue
from vault.exports.check import Checked, check_package, in_pieces, key_given
from vault.opening import open_vault
from vault.operations.build_exports import build_exports
from vault.settings import read_settings

exports = typer.Typer(help="What people take away (access and portability).", no_args_is_help=True)


@exports.command()
def verify(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The ZIP as it was downloaded.")],
    key: Annotated[
        str, typer.Option(help='The company\'s key of documents: "NAME PUBLICKEY" of /.well-known/riserbo, or a verifier key.')
    ],
    as_json: AsJson = False,
) -> None:
    """Check that a package is whole and as the company signed it; needs no vault. Exit status 1 if it is not.

    Take the key from the company, not from the package. Who looked is checked by the offline.py in it.
    """
    with said(as_json=as_json):
        checked = _checked(file, key)
    document = {
        "verified": not checked.wrong, "set": checked.set, "snapshot_at": checked.snapshot_at, "files": checked.files,
        "wrong": list(checked.wrong),
    }  # fmt: skip
    whole = f"VERIFIED: {checked.files} files, {checked.set}, as of {checked.snapshot_at}"
    answer(document, as_json=as_json, text=whole if not checked.wrong else "NOT AS SIGNED: " + ", ".join(checked.wrong))
    if checked.wrong:
        raise typer.Exit(1)


@exports.command()
def make(controller: ControllerOption = None, as_json: AsJson = False) -> None:
    """Make the packages that wait, and end those that are over, without waiting for the worker."""
    with said(as_json=as_json), open_vault(read_settings()) as opened:
        name = the_controller(opened.vault.database.controllers(), controller)
        made = build_exports(opened.vault.governed(name), name)
    answer({"made": made}, as_json=as_json, text=f"Made: {made}")


def _checked(file: Path, key: str) -> Checked:
    """Return how a package stands. Raises InvalidValue where it is none, or the key is none."""
    try:
        known = key_given(key)
    except ValueError:
        raise InvalidValue(faults=[Fault("--key", "key.malformed")]) from None
    try:
        with ZipFile(file) as packed:

            def read(name: str) -> Iterator[bytes]:
                with packed.open(name) as member:
                    yield from in_pieces(member.read)

            return check_package(packed.namelist(), read, known)
    except BadZipFile:
        raise InvalidValue(faults=[Fault("FILE", "package.unreadable")]) from None
    except ValueError as error:
        raise InvalidValue(faults=[Fault("FILE", f"package.{error.args[0] if error.args else 'unreadable'}")]) from None
