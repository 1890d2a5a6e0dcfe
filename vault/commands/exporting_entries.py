"""The command that exports entries of the log: `riserbo audit export-entries`."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from vault.commands.say import AsJson, ControllerOption, answer, people, said, the_controller
from vault.errors import Fault, InvalidValue
from vault.opening import open_vault
from vault.operations.export_entries import Export, Wish, export_in_house
from vault.settings import read_settings


def export_entries(
    out: Annotated[Path, typer.Option(help="The file to write; it must not exist.")],
    form: Annotated[str, typer.Option("--format", help="jsonl, ocsf or garante.")] = "jsonl",
    since: Annotated[str | None, typer.Option("--from", help="From when (RFC 3339, or a day); unset: from the beginning.")] = None,
    until: Annotated[str | None, typer.Option("--to", help="Until before when; unset: now.")] = None,
    destination: Annotated[str, typer.Option(help="For whom: pseudonyms are this destination's own.")] = "file",
    controller: ControllerOption = None,
    as_json: AsJson = False,
) -> None:
    """Export entries with pseudonyms, no free text and no value. The export is on record before it begins, and when it ends.

    The file bears its name only once it is whole; interrupted, nothing is left but the part beside it.
    """
    with said(as_json=as_json), open_vault(read_settings()) as opened:
        name = the_controller(opened.vault.database.controllers(), controller)
        if out.exists():
            raise InvalidValue(faults=[Fault("--out", "file.exists")])
        opened.trail.settle(name)
        ends = instant_ms("--to", until) if until is not None else int(opened.vault.now().timestamp() * 1000) + 1
        wish = Wish(form, instant_ms("--from", since) if since is not None else 0, ends, destination)
        export = export_in_house(opened.vault.governed(name), name, wish)
        written = _write(export, out)
    document = {"entry_id": export.entry_id, "format": form, "file": str(out), "bytes": written}
    answer(document, as_json=as_json, text=f"Written: {out} ({written} bytes). On record as {export.entry_id}.")


def instant_ms(option: str, text: str) -> int:
    """Return an instant in ms since 1970; without a zone it is UTC. Raises InvalidValue naming the option."""
    try:
        found = datetime.fromisoformat(text)
        return max(0, int((found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp() * 1000))
    except (ValueError, OverflowError):
        raise InvalidValue(faults=[Fault(option, "instant.syntax")]) from None


def _write(export: Export, out: Path) -> int:
    part = out.with_name(out.name + ".part")
    written = 0
    bar = Progress(TextColumn("entries"), BarColumn(), MofNCompleteColumn(), console=people, transient=True)
    part.unlink(missing_ok=True)
    part.touch(mode=0o600)
    with bar, part.open("wb") as file:
        task = bar.add_task("entries", total=export.expected)
        for line in export.lines(lambda done, total: bar.update(task, completed=done, total=total)):
            written += file.write(line)
    part.rename(out)
    return written
