"""Commands about taking the trail out of the vault: audit export."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, TextIO

import typer

from vault.commands.say import AsJson, ControllerOption, answer, counting, said, the_controller
from vault.errors import Fault, InvalidValue
from vault.opening import open_vault
from vault.operations.export_log import export_log
from vault.operations.hand_over_accesses import verifier as offline_verifier
from vault.settings import read_settings


def export(
    leaves: Annotated[Path | None, typer.Option(help="Where to write the entries: one line of hex each.")] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="Where to write the signed checkpoint that covers them.")] = None,
    key: Annotated[Path | None, typer.Option(help="Where to write the verifier key the checkpoint is checked by.")] = None,
    verifier: Annotated[
        Path | None, typer.Option(help="Where to write the program that checks all this without the vault.")
    ] = None,
    controller: ControllerOption = None,
    *,
    force: Annotated[bool, typer.Option("--force", help="Write over files that are there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write the whole log for anybody's own checker, or the checker itself. Nothing in it is personal; the export is on record.

    Files appear whole or not at all. --leaves, --checkpoint and --key go together; --verifier goes with or without them.
    """
    with said(as_json=as_json), ExitStack() as closing:
        places = _places({"--leaves": leaves, "--checkpoint": checkpoint, "--key": key}, verifier, force=force)
        files = {name: closing.enter_context(_written_whole(path)) for name, path in places.items()}
        if "--verifier" in files:
            files["--verifier"].write(offline_verifier().decode())
        document: dict[str, str | int] = {name.removeprefix("--"): str(path) for name, path in places.items()}
        if leaves is not None:
            opened, bar = closing.enter_context(open_vault(read_settings())), closing.enter_context(counting())
            name, task = the_controller(opened.vault.database.controllers(), controller), bar.add_task("entries", total=None)
            lines = files["--leaves"]
            done = export_log(
                opened.vault.closing(name), name, lambda line: lines.write(line + "\n"),
                lambda done, total: bar.update(task, completed=done, total=total),
            )  # fmt: skip
            files["--checkpoint"].write(done.note)
            files["--key"].write(done.vkey + "\n")
            document |= {"size": done.size, "entry_id": done.entry_id}
    written = ", ".join(str(path) for path in places.values())
    answer(document, as_json=as_json, text=f"Written: {written}" + (f" ({document['size']} entries)" if leaves else ""))


def _places(log: dict[str, Path | None], verifier: Path | None, *, force: bool) -> dict[str, Path]:
    """Return where to write what. Raises InvalidValue where something is missing, said twice, or there already."""
    given = {name: path for name, path in {**log, "--verifier": verifier}.items() if path is not None}
    asked = [name for name in log if name in given]
    missing = [name for name in log if name not in given] if asked or not given else []
    faults = [Fault(name, "missing") for name in missing]
    faults += [Fault(name, "exists") for name, path in given.items() if path.exists() and not force]
    faults += [Fault(name, "no-such-directory") for name, path in given.items() if not path.parent.is_dir()]
    if len({path.absolute() for path in given.values()}) < len(given):
        faults.append(Fault("--leaves", "same-file-twice"))
    if faults:
        raise InvalidValue(faults=faults)
    return given


@contextmanager
def _written_whole(path: Path) -> Iterator[TextIO]:
    """Yield a file beside the place; it takes the place when the block ends well, and goes when it does not."""
    beside = path.with_name(f".{path.name}.part")
    try:
        with beside.open("w", encoding="utf-8", newline="\n") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
