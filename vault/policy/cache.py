"""A bounded table of what was decided, least recently used out first. Pure.

Nothing in it expires: a row is a function of its key, the key holds everything policy can see, and time is in it only as an
agreement's phase. No customer, caller, ticket or agreement id is ever in a key or a row.
"""

from collections import OrderedDict
from collections.abc import Hashable
from contextlib import suppress
from threading import Lock
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Table(Generic[K, V]):
    """At most `size` rows. Lanes share it: putting takes the lock, finding need not, since a row never changes."""

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError("a table holds at least one row")
        self._size = size
        self._rows: OrderedDict[K, V] = OrderedDict()
        self._lock = Lock()

    def find(self, key: K) -> V | None:
        """Return the row and count it as used, or None. A table less than half full has nobody to make room for."""
        row = self._rows.get(key)
        if row is not None and len(self._rows) * 2 > self._size:
            with suppress(KeyError):  # another thread may have made room meanwhile
                self._rows.move_to_end(key)
        return row

    def put(self, key: K, row: V) -> None:
        """Keep a row; the one not used for longest makes room."""
        with self._lock:
            self._rows[key] = row
            self._rows.move_to_end(key)
            if len(self._rows) > self._size:
                self._rows.popitem(last=False)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._rows.clear()

    def __len__(self) -> int:
        return len(self._rows)
