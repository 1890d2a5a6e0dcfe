"""What writers of this process have acknowledged: the only thing that notices a deleted pending tail.

Whoever got an answer relies on its entry. Each writer keeps number and hash of what it acknowledged until the sequencer's record of
that writer has passed it; an entry that is late, or was sequenced with another hash, stops opening. The last of each living writer
is kept, with its position: while the process lives, a log that goes back behind it, or holds another there, is seen at once.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from threading import Lock

LATEST_S = 60.0
_APART_S = 0.1


@dataclass(frozen=True, slots=True)
class Mark:
    """One acknowledged entry: the last of its batch."""

    number: int
    leaf_hash: bytes
    at: float  # monotonic


@dataclass(frozen=True, slots=True)
class Sequenced:
    """A writer's last entry in the log: where it is, and whether the bytes there are still those that were put there."""

    number: int
    leaf_hash: bytes
    position: int | None = None
    holds: bool = True


_NOTHING = Sequenced(0, b"")


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a controller's acknowledged entries compare with the log: `late_s` is the age of the oldest not sequenced."""

    late_s: float
    altered: tuple[str, ...]  # writers

    @property
    def late(self) -> bool:
        """Whether an entry is missing longer than the sequencer may take."""
        return self.late_s > LATEST_S


class Acknowledged:
    """The marks of one controller's writers in this process, abandoned and closed ones included until the log has passed them."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self.era = 0  # of the newest acknowledged entry; 0 before there is one
        self._monotonic = monotonic
        self._marks: dict[str, deque[Mark]] = {}
        self._seen: dict[str, Sequenced] = {}  # the last mark of each that was found in the log
        self._eras: dict[str, int] = {}
        self._ended: set[str] = set()
        self._lock = Lock()

    def add(self, writer_id: str, number: int, leaf_hash: bytes, era: int = 1) -> None:
        """Remember an acknowledged entry. At most ten a second are kept for a writer, the newest always."""
        mark = Mark(number, leaf_hash, self._monotonic())
        with self._lock:
            marks = self._marks.setdefault(writer_id, deque())
            self._eras[writer_id] = era
            if len(marks) > 1 and mark.at - marks[-2].at < _APART_S:
                marks.pop()
            marks.append(mark)

    def end(self, writer_id: str) -> None:
        """Say that a writer writes no more: once the log has passed it, it is watched no longer."""
        with self._lock:
            if writer_id in self._marks:
                self._ended.add(writer_id)

    def writers(self) -> list[str]:
        """Return the writers that are watched: those whose last sequenced entry is asked for."""
        with self._lock:
            return list(self._marks)

    def forget(self, writers: Iterable[str]) -> None:
        """Watch these writers no longer: an operator rejected entries of theirs, and the log says so."""
        with self._lock:
            for writer_id in writers:
                self._forget(writer_id)

    def forget_before(self, era: int) -> None:
        """Watch writers of eras before this one no longer: what those lost, the first entries of this one say."""
        with self._lock:
            for writer_id in [writer_id for writer_id, of in self._eras.items() if of < era]:
                self._forget(writer_id)

    def compare(self, sequenced: Mapping[str, Sequenced]) -> Verdict:
        """Drop the marks the log has passed and say how the rest stand. `sequenced` is each writer's last entry in the log."""
        now, late_s, altered = self._monotonic(), 0.0, []
        with self._lock:
            for writer_id, marks in list(self._marks.items()):
                found = sequenced.get(writer_id, _NOTHING)
                if self._went_back(writer_id, found) or not self._passed(writer_id, marks, found):
                    altered.append(writer_id)
                if marks:
                    late_s = max(late_s, now - marks[0].at)
                elif writer_id in self._ended:
                    self._forget(writer_id)
        return Verdict(late_s, tuple(altered))

    def _went_back(self, writer_id: str, found: Sequenced) -> bool:
        """Whether the log no longer holds what was seen in it."""
        seen = self._seen.get(writer_id)
        if seen is None:
            return False
        return found.number < seen.number or not found.holds or (found.number == seen.number and found != seen)

    def _passed(self, writer_id: str, marks: "deque[Mark]", found: Sequenced) -> bool:
        """Drop the marks up to an entry of the log; False when it is another than the one acknowledged."""
        while marks and marks[0].number <= found.number:
            mark = marks.popleft()
            if mark.number == found.number:
                if mark.leaf_hash != found.leaf_hash:
                    return False
                self._seen[writer_id] = found
        return True

    def _forget(self, writer_id: str) -> None:
        self._marks.pop(writer_id, None)
        self._seen.pop(writer_id, None)
        self._eras.pop(writer_id, None)
        self._ended.discard(writer_id)
