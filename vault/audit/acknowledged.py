"""What writers of this process have acknowledged and not yet seen in the log: the only thing that notices a deleted pending tail.

Whoever got an answer relies on its entry. Each writer keeps number and hash of what it acknowledged until the sequencer's record of
that writer has passed it; an entry that is late, or was sequenced with another hash, stops opening.
"""

from collections import deque
from collections.abc import Callable, Mapping
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
class Verdict:
    """How a controller's acknowledged entries compare with the log: `late_s` is the age of the oldest not sequenced."""

    late_s: float
    altered: tuple[str, ...]  # writers

    @property
    def late(self) -> bool:
        """Whether an entry is missing longer than the sequencer may take."""
        return self.late_s > LATEST_S


class Acknowledged:
    """The marks of one controller's writers in this process, abandoned and closed ones included."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._marks: dict[str, deque[Mark]] = {}
        self._lock = Lock()

    def add(self, writer_id: str, number: int, leaf_hash: bytes) -> None:
        """Remember an acknowledged entry. At most ten a second are kept for a writer, the newest always."""
        mark = Mark(number, leaf_hash, self._monotonic())
        with self._lock:
            marks = self._marks.setdefault(writer_id, deque())
            if len(marks) > 1 and mark.at - marks[-2].at < _APART_S:
                marks.pop()
            marks.append(mark)

    def writers(self) -> list[str]:
        """Return the writers with marks: those whose sequenced number is asked for."""
        with self._lock:
            return [writer_id for writer_id, marks in self._marks.items() if marks]

    def compare(self, sequenced: Mapping[str, tuple[int, bytes]]) -> Verdict:
        """Drop the marks the log has passed and say how the rest stand. `sequenced` is each writer's number and leaf hash."""
        now, late_s, altered = self._monotonic(), 0.0, []
        with self._lock:
            for writer_id, marks in list(self._marks.items()):
                number, leaf_hash = sequenced.get(writer_id, (0, b""))
                while marks and marks[0].number <= number:
                    mark = marks.popleft()
                    if mark.number == number and mark.leaf_hash != leaf_hash:
                        altered.append(writer_id)
                if marks:
                    late_s = max(late_s, now - marks[0].at)
                else:
                    del self._marks[writer_id]
        return Verdict(late_s, tuple(altered))
