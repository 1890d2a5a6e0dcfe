"""Witness a log from outside: see that it went on from where it was seen last, keep that, and only then sign it.

It knows no vault, no database and no keyring: it runs on the data protection officer's own machine, where nobody who runs the vault
can reach what was seen. A thief of every key of the vault can rewrite only what came after the last checkpoint witnessed here. A
change of era is told, never passed over: somebody recovered the log, and the log says what was lost. What was told is kept apart
from what was seen, and only once it was told: a log that stops answering in between does not make it old news.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from vault.audit.checkpoint import Checkpoint, SignerState, parse_note
from vault.audit.eras import era_of
from vault.audit.witness import Doubt, cosigned, expect_continued, hashes_of, seen_by
from vault.errors import VaultError
from vault.notes import VerifierKey

Proof = Callable[[int, int], str | None]  # (old size, new size) -> one hash a line, None where there is none


class Log(Protocol):
    """A log as read from outside. Both raise Unavailable when it does not answer."""

    def checkpoint(self, era: int) -> str | None:
        """Return the newest checkpoint of an era, None where there is none."""
        ...

    def consistency(self, old: int, new: int) -> str | None:
        """Return the proof between two sizes of the present era, one hash a line, None where there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Witness:
    """Who witnesses, by which pinned key of the log, and where what was seen is kept, durable before anything is signed.

    `told` keeps of each later era the checkpoint with which its beginning was told to a person.
    """

    log_key: VerifierKey
    key: VerifierKey
    sign: Callable[[bytes], bytes] = field(repr=False)
    seen: SignerState
    told: SignerState
    now: Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Witnessed:
    """What became of one checkpoint: `note` with the witness's line where it continues what was seen, else the `doubt`."""

    origin: str
    size: int | None
    note: str | None
    doubt: str | None = None
    new_era: bool = False


def witness_log(log: Log, witness: Witness) -> list[Witnessed]:
    """Witness the log at its address: every era from the newest seen on, or the pinned one.

    What stops it after something was found, or while a change of era is still to be told, is the doubt of the last line. Raises
    Unavailable else.
    """
    found: list[Witnessed] = []
    prefix, era = witness.log_key.name.rpartition("/")[0], era_of(witness.log_key.name)
    while witness.seen.last(f"{prefix}/{era + 1}") is not None:
        era += 1
    try:
        while (text := log.checkpoint(era)) is not None:
            found.append(_judged(witness, text, log.consistency, era))
            era += 1
    except VaultError as error:
        stopped = _doubted(witness, f"{prefix}/{era}", error.code)
        if not found and not stopped.new_era:
            raise
        return [*found, stopped]
    return found or [_doubted(witness, f"{prefix}/{era}", "no-checkpoint")]


def acknowledge(witness: Witness, found: Iterable[Witnessed]) -> None:
    """Keep that these changes of era were told. Until then each look finds them new. Raises Unavailable."""
    at_ms = int(witness.now().timestamp() * 1000)
    for one in found:
        if one.new_era and (text := witness.seen.last(one.origin)) is not None:
            with witness.told.holding():
                witness.told.keep(one.origin, text, at_ms)


def witness_note(text: str, proof: str | None, witness: Witness) -> Witnessed:
    """Witness one checkpoint somebody brought, with the proof that it continues the last one seen."""
    return _judged(witness, text, lambda _old, _new: proof, None)


def _judged(witness: Witness, text: str, proof: Proof, era: int | None) -> Witnessed:
    name = witness.log_key.name if era is None else f"{witness.log_key.name.rpartition('/')[0]}/{era}"
    try:
        return _witnessed(witness, text, proof, era)
    except Doubt as doubt:
        return _doubted(witness, name, doubt.code)


def _doubted(witness: Witness, name: str, code: str) -> Witnessed:
    return Witnessed(name, None, None, code, _untold(witness, name))


def _untold(witness: Witness, name: str) -> bool:
    """Whether an era after the pinned one was seen, and nobody was told."""
    later = era_of(name) > era_of(witness.log_key.name)
    return later and witness.seen.last(name) is not None and witness.told.last(name) is None


def _witnessed(witness: Witness, text: str, proof: Proof, era: int | None) -> Witnessed:
    note = seen_by(text, witness.log_key)
    point = note.checkpoint
    if era is not None and era_of(point.origin) != era:
        raise Doubt("another-log")
    with witness.seen.holding():
        last = _last(witness.seen, point.origin)
        expect_continued(point, last, list(_path(point, last, proof)))
        at = witness.now()
        if last is None or last.size < point.size:
            witness.seen.keep(point.origin, note.text, int(at.timestamp() * 1000))
    signed = cosigned(note, witness.key, witness.sign, int(at.timestamp()))
    return Witnessed(point.origin, point.size, signed, new_era=_untold(witness, point.origin))


def _last(seen: SignerState, origin: str) -> Checkpoint | None:
    """Return the checkpoint seen last. Raises Doubt when what was kept cannot be read: to begin anew is a person's decision."""
    text = seen.last(origin)
    if text is None:
        return None
    try:
        return parse_note(text).checkpoint
    except ValueError:
        raise Doubt("own-memory-damaged") from None


def _path(point: Checkpoint, last: Checkpoint | None, proof: Proof) -> Iterator[bytes]:
    if last is None or not 0 < last.size < point.size:
        return
    text = proof(last.size, point.size)
    if text is None:
        raise Doubt("no-proof")
    yield from hashes_of(text)
