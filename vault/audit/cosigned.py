"""What pinned witnesses signed, as kept beside the log: each line must hold over the checkpoint it stands by.

That checkpoint is the copy served with it, or the signer's own where no copy was kept. One that nobody else has brought is given
to whoever verifies the log, as if its witness had: the log must agree with it. Lines of others than pinned witnesses count for
nothing, nor do those of a key that a witness had before and that is pinned no more. Pure.
"""

from collections.abc import Callable, Iterable, Sequence

from vault.audit.checkpoint import Checkpoint, Note, parse_note
from vault.audit.scan import Findings, GivenNote
from vault.audit.witness import Doubt, cosignatures
from vault.notes import Signature, VerifierKey, split_note


class Cosigned:
    """Judges the lines kept of a log, one by one. `origin_of` an era; `notes` are the checkpoints at hand."""

    def __init__(self, origin_of: Callable[[int], str], witnesses: Sequence[VerifierKey], notes: Iterable[GivenNote]) -> None:
        self.findings = Findings()
        self.given: list[GivenNote] = []
        self._origin_of = origin_of
        self._witnesses = witnesses
        self._known = {(one.origin, one.size): (one, text) for one, text in _points(notes)} if witnesses else {}

    def take(self, era: int, seconds: int, size: int, witness: str, line: str, copy: str | None) -> None:
        """Take one line; `copy` is the note of the checkpoint kept for that era and size, None where there is none."""
        pinned = [one for one in self._witnesses if one.name == witness]
        made = _signature(line)
        if not pinned or (made is not None and made.name == witness and not any(one.made(made) for one in pinned)):
            return
        place = (self._origin_of(era), size)
        known, own = self._known.get(place, (None, None))
        note = _held(copy if copy is not None else own or "", line)
        if note is None or (note.checkpoint.origin, note.checkpoint.size) != place or not _bears(note, pinned, seconds, line):
            self.findings.add("witness", f"what {witness} signed at {seconds} does not hold over the checkpoint of size {size}")
        elif note.checkpoint != known:
            self.given.append(GivenNote(f"witnessed by {witness}", note.text.removesuffix(line)))
            self._known[place] = (note.checkpoint, copy or "")


def _points(notes: Iterable[GivenNote]) -> Iterable[tuple[Checkpoint, str]]:
    for one in notes:
        try:
            yield parse_note(one.text).checkpoint, one.text
        except ValueError:  # refused where the log is verified
            continue


def _held(text: str, line: str) -> Note | None:
    try:
        return parse_note(f"{text}{line}")
    except ValueError:
        return None


def _signature(line: str) -> Signature | None:
    try:
        (made,) = split_note(f"\n\n{line}")[1]
    except ValueError:
        return None
    return made


def _bears(note: Note, pinned: Sequence[VerifierKey], seconds: int, line: str) -> bool:
    try:
        return any((one.seconds, one.line) == (seconds, line) for one in cosignatures(note, pinned))
    except Doubt:
        return False
