"""The permit that opens: made only by the audit recorder, after the entry is committed.

`keys` demands one and `audit` grants one, so it lives below both. Promise 1: no reveal without a record.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from vault.errors import Unreadable

LIFETIME_S = 30.0


@dataclass(frozen=True, slots=True)
class Clear:
    """An opened value. Never printed: `repr` and `str` are `***`."""

    value: Any = field(repr=False)

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__


@dataclass(frozen=True, slots=True)
class ReadPermit:
    """What one committed entry allows to be opened, once.

    `agreements` maps each field that may be opened (shown clear or masked; none that are withheld) to the agreement whose wrap
    must open it. `expires_at` is on the monotonic clock, in seconds. A refusal's permit covers no field.
    """

    entry_id: str
    controller_id: str
    subject_id: str
    agreements: Mapping[str, str]
    leaf_hash: bytes
    expires_at: float
    _use: Lock = field(default_factory=Lock, repr=False, compare=False)

    def spend(self, controller_id: str, subject_id: str, at: float) -> Mapping[str, str]:
        """Use the permit up and return its fields and agreements.

        Raises Unreadable for another subject or controller, a second use, or age over 30 s.
        """
        fresh = at <= self.expires_at
        here = self.controller_id == controller_id and self.subject_id == subject_id
        if not (fresh and here and self._use.acquire(blocking=False)):
            raise Unreadable
        return self.agreements
