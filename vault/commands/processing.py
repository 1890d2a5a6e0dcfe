"""The command that writes the records of processing activities: `riserbo processing`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from vault.commands.say import ControllerOption, people, said, the_controller
from vault.errors import Fault, InvalidValue
from vault.opening import open_vault
from vault.operations.show_processing import FORMS, Form, show_processing_in_house
from vault.processing.differences import differences, read_document
from vault.settings import read_settings


def processing(
    form: Annotated[str, typer.Option("--format", help="jsonld, note (the same, signed) or csv.")] = "jsonld",
    out: Annotated[Path | None, typer.Option(help="The file to write; it must not exist. Unset: to stdout.")] = None,
    against: Annotated[Path | None, typer.Option(help="Records written before (jsonld or note): what differs is told.")] = None,
    controller: ControllerOption = None,
) -> None:
    """Write the records of processing (GDPR 30): what is in force, what went out, and where the two differ. On record."""
    with said(), open_vault(read_settings()) as opened:
        faults = [Fault("--format", "format.unknown")] if form not in FORMS else []
        if out is not None and out.exists():
            faults.append(Fault("--out", "file.exists"))
        before = _before(against, faults)
        if faults:
            raise InvalidValue(faults=faults)
        name = the_controller(opened.vault.database.controllers(), controller)
        stated: Form = form  # type: ignore[assignment]  # one of FORMS
        shown = show_processing_in_house(opened.vault.governed(name), name, stated)
        _write(shown.octets, out)
    people.print(f"On record as {shown.entry_id}.")
    if shown.errors:
        people.print(f"[red]{shown.errors} to mend[/red]: what is in force and what happened differ, as the register says.")
    if before is not None:
        for one in differences(before, read_document(shown.line)):
            people.print(" ".join(filter(None, (f"{one.part} {one.name}".strip(), one.change, *one.members))), markup=False)


def _before(against: Path | None, faults: list[Fault]) -> dict[str, Any] | None:
    """Return the records written before; a file that holds none is a fault."""
    try:
        return None if against is None else read_document(against.read_bytes())
    except (OSError, ValueError):
        faults.append(Fault("--against", "records.unreadable"))
        return None


def _write(octets: bytes, out: Path | None) -> None:
    if out is None:
        typer.echo(octets, nl=not octets.endswith(b"\n"))
        return
    with out.open("xb") as file:
        file.write(octets)
