"""Commands about what lies outside the database: recover, witness, cosign."""

import os
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import Annotated, Any

import typer

from vault.commands.say import AsJson, ControllerOption, answer, people, said, the_controller
from vault.connectors.log_reader import LogReader
from vault.connectors.policy_keys import make_key, read_key, read_witnesses
from vault.connectors.signer_state import DirectorySignerState
from vault.errors import Fault, InvalidValue, NotFound, VaultError
from vault.notes import COSIGNATURE, VerifierKey, parse_vkey
from vault.opening import draw_seed, now, open_vault
from vault.operations.cosign import cosign as take_cosignature
from vault.operations.recover import Decided, Recovered
from vault.operations.witness import Witness, Witnessed, acknowledge, witness_log, witness_note
from vault.settings import read_settings

KEY_FILE, SEEN, TOLD = "witness.key", "seen", "told"
_SPAN = re.compile(r"([1-9][0-9]{0,4})([smh])")
_SECONDS = {"s": 1, "m": 60, "h": 3600}


def recover(
    controller: ControllerOption = None,
    writer: Annotated[
        str | None, typer.Option(help="Only reject the pending entries of this writer, whose chain is broken.")
    ] = None,
    *,
    state_is_gone: Annotated[
        bool, typer.Option("--state-is-gone", help="The signer's state (RISERBO_AUDIT_STATE) is lost for good, not only elsewhere.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Go on after the log went back behind what was signed: it is frozen, and the next era says what is lost. Asks for two people.

    The only way on after a rollback. With --writer: after a chain that does not hold; that writer's rows are moved aside.
    """
    with said(as_json=as_json), open_vault(read_settings()) as opened:
        name = the_controller(opened.vault.database.controllers(), controller)
        closed = opened.trail_health.state(name).closed
        people.print(f"The log of {name}: {' '.join(closed) or 'nothing is wrong with it'}.")
        people.print("Keep a copy of the database as it is before you go on: this cannot be taken back.")
        people.print(f"The signer's state: {opened.vault.settings.state}.")
        decided = _asked(name, state_is_gone=state_is_gone)
        if writer is not None:
            gone = opened.reject(name, writer, decided)
            text = f"{gone.count} entries of {writer} after number {gone.number} were moved aside, unchanged; the log says so."
            answer({"writer": writer, "number": gone.number, "count": gone.count}, as_json=as_json, text=text)
            return
        done = opened.recover(name, decided)
        answer(_recovered(done), as_json=as_json, text=_told(done))


def witness(
    home: Annotated[Path, typer.Option("--dir", help="The witness's directory: its key, and what it has seen.")] = Path("witness"),
    new_key: Annotated[Path | None, typer.Option(help="Make a directory with a key of its own (0600), and stop.")] = None,
    name: Annotated[str | None, typer.Option(help="With --new-key: what it is known by, such as dpo.example/witness.")] = None,
    vkey: Annotated[str | None, typer.Option(help="The log's verifier key, as given at installation: never from the log.")] = None,
    log: Annotated[str | None, typer.Option(help="Address of the log: https://HOST/audit/CONTROLLER/ERA.")] = None,
    token_file: Annotated[Path | None, typer.Option(help="File with an officer's token, for the consistency proof.")] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="Without a network: the checkpoint, a signed note.")] = None,
    consistency: Annotated[Path | None, typer.Option(help="With --checkpoint: the proof, one hash a line.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where the cosigned note goes; unset: stdout.")] = None,
    every: Annotated[str | None, typer.Option(help="Again each 30m, 1h …; unset: once.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check from outside that a log went on from where it was seen last, keep that, and sign it. Needs no vault.

    For the data protection officer's own machine. Exit status 1 when the log does not continue, and when its era changed.
    """
    with said(as_json=as_json):
        if new_key is not None:
            key = _new_key(new_key, name or "")
            if not as_json:
                typer.echo(key.text)
            answer({"key": key.text}, as_json=as_json, text="Give this line to whoever runs the vault, for RISERBO_WITNESSES.")
            return
        who = _witness(home, vkey)
        looks = _looker(who, log, token_file, checkpoint, consistency)

        def tell(one: list[Witnessed]) -> None:
            _tell(one, out, as_json=as_json)
            acknowledge(who, one)

        if every is None:
            tell(found := looks())
        else:
            found = repeated(looks, _seconds(every), Event(), tell)
    if any(one.doubt is not None or one.new_era for one in found):
        raise typer.Exit(1)


def cosign(
    file: Annotated[Path, typer.Argument(help="A checkpoint with a witness's signature under it.", dir_okay=False)],
    controller: ControllerOption = None,
    as_json: AsJson = False,
) -> None:
    """Take a witness's signature of a checkpoint back. It is kept beside the checkpoint, and its age is on /readyz."""
    with said(as_json=as_json):
        settings, text = read_settings(), _read(file, "FILE")
        witnesses = read_witnesses(settings.witness_keys)
        with open_vault(settings) as opened:
            name = the_controller(opened.vault.database.controllers(), controller)
            new = take_cosignature(opened.vault, name, text, witnesses, opened.state)
        document = {"new": [{"witness": one.witness, "seconds": one.seconds} for one in new]}
        answer(document, as_json=as_json, text=f"{len(new)} new of {', '.join(sorted({one.witness for one in new})) or 'nobody'}.")


def repeated(
    look: Callable[[], list[Witnessed]], seconds: float, stopped: Event, tell: Callable[[list[Witnessed]], None]
) -> list[Witnessed]:
    """Look again and again until it is stopped; what fails is told, and tried again.

    Return of each era the last doubt or change.
    """
    doubtful: dict[str, Witnessed] = {}
    with suppress(KeyboardInterrupt):
        while True:
            try:
                found = look()
                doubtful |= {one.origin: one for one in found if one.doubt is not None or one.new_era}
                tell(found)
            except VaultError as error:
                people.print(f"[red]{error.code}[/red]: {' '.join(one.pointer for one in error.faults) or 'nothing was witnessed'}")
            if stopped.wait(seconds):
                break
    return list(doubtful.values())


def _asked(name: str, *, state_is_gone: bool) -> Decided:
    first = typer.prompt("First operator", err=True)
    second = typer.prompt("Second operator", err=True)
    reason = typer.prompt("Reason", err=True)
    if typer.prompt(f"Type {name} to go on", err=True) != name:
        raise InvalidValue(faults=[Fault("controller", "not-confirmed")])
    return Decided((first, second), reason, state_is_gone)


def _recovered(done: Recovered) -> dict[str, Any]:
    return {
        "era": done.era,
        "lost": done.beginning.lost,
        "kept": done.beginning.kept,
        "frozen": {"origin": done.beginning.origin, "size": done.beginning.size},
        "checkpoint": done.note,
        "rejected": [{"writer": one.writer_id, "number": one.number, "count": one.count} for one in done.rejected],
    }


def _told(done: Recovered) -> str:
    moved = sum(one.count for one in done.rejected)
    return (
        f"{done.beginning.origin} is frozen at {done.beginning.size} entries; {done.beginning.lost} that were signed are lost.\n"
        f"Era {done.era} has begun, and says so. {moved} pending entries were moved aside.\n"
        "Tell the data protection officer: their witness will report the change of era. Then run `riserbo audit verify`."
    )


def _new_key(directory: Path, name: str) -> VerifierKey:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        raise InvalidValue(faults=[Fault("--new-key", "directory.not-writable")]) from None
    return make_key(directory / KEY_FILE, name, draw_seed(), COSIGNATURE)


def _witness(home: Path, vkey: str | None) -> Witness:
    try:
        pinned = parse_vkey(vkey or "")
    except ValueError:
        raise InvalidValue(faults=[Fault("--vkey", "key.unfit")]) from None
    key = read_key(home / KEY_FILE, COSIGNATURE)
    return Witness(pinned, key.public, key.sign, DirectorySignerState(home / SEEN), DirectorySignerState(home / TOLD), now)


def _looker(
    witness: Witness, address: str | None, token_file: Path | None, checkpoint: Path | None, consistency: Path | None
) -> Callable[[], list[Witnessed]]:
    if (address is None) == (checkpoint is None):
        raise InvalidValue(faults=[Fault("--log", "name either --log or --checkpoint")])
    if checkpoint is not None:
        text = _read(checkpoint, "--checkpoint")
        proof = None if consistency is None else _read(consistency, "--consistency")
        return lambda: [witness_note(text, proof, witness)]
    token = None if token_file is None else _read(token_file, "--token-file").strip()
    reader = LogReader(address or "", token)
    return lambda: witness_log(reader, witness)


def _read(path: Path, option: str) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        raise NotFound("file-not-found", faults=[Fault(option, "file-not-found")]) from None
    except (OSError, UnicodeDecodeError):
        raise InvalidValue(faults=[Fault(option, "file.unreadable")]) from None


def _seconds(every: str) -> float:
    match = _SPAN.fullmatch(every)
    if match is None:
        raise InvalidValue(faults=[Fault("--every", "span: 30m, 1h …")])
    return float(int(match[1]) * _SECONDS[match[2]])


def _place(out: Path, note: str) -> None:
    """Put the note in its place whole. Raises InvalidValue where it cannot be."""
    beside = out.with_name(f".{out.name}.part")
    try:
        with beside.open("w", encoding="utf-8", newline="\n") as file:
            file.write(note)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(out)
    except OSError:
        raise InvalidValue(faults=[Fault("--out", "file.not-writable")]) from None


def _tell(found: Sequence[Witnessed], out: Path | None, *, as_json: bool) -> None:
    for one in found:
        if one.new_era:
            people.print(
                f"[bold red]THE ERA CHANGED[/bold red]: {one.origin}. Somebody recovered the log; its second entry says why."
            )
        if one.doubt is not None:
            people.print(f"[bold red]NOT WITNESSED[/bold red]: {one.origin}: {one.doubt}. Keep what you have, and ask.")
    newest = next((one for one in reversed(found) if one.note is not None), None)
    if newest is not None and newest.note is not None:
        people.print(f"Witnessed: {newest.origin} at {newest.size}.")
        if out is not None:
            _place(out, newest.note)
        elif not as_json:
            typer.echo(newest.note, nl=False)
    if as_json and found:
        shown = [{"origin": o.origin, "size": o.size, "note": o.note, "doubt": o.doubt, "new_era": o.new_era} for o in found]
        answer({"witnessed": shown}, as_json=True, text="")
