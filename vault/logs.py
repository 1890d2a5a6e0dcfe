"""Logs: JSON lines of ids and codes. A key that is not on the list is dropped and counted, whatever somebody meant by it."""

import atexit
import logging
import sys
from collections import deque
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from datetime import UTC, datetime
from threading import Lock, get_ident
from typing import Any, BinaryIO

import orjson
import structlog

ALLOWED = frozenset(
    {
        *("event", "level", "timestamp", "method", "route", "status", "ms", "request_id", "trace_id", "controller"),
        *("controller_id", "subject_id", "entry_id", "decision_id", "problem", "refusal", "code", "kind", "where", "step"),
        *("batch", "sqlstate", "constraint", "sequence", "bundle"),
    }
)


class Lines:
    """Whole lines on their way to a file: written at once, but for those of a thread that has them written `together`."""

    def __init__(self, file: Callable[[], BinaryIO]) -> None:
        self._file = file
        self._writing = Lock()
        self._ready: deque[bytes] = deque()  # its methods are atomic: whoever writes, writes what any thread made ready before
        self._thread: int | None = None
        self._soon: Callable[[Callable[[], None]], object] = lambda _: None

    def take(self, line: bytes) -> None:
        """Write a line, now or soon."""
        self._ready.append(line)
        if get_ident() != self._thread:
            self.write()
        elif len(self._ready) == 1:  # the others before it asked already, or are being written now, and this one with them
            self._soon(self.write)

    debug = info = warning = error = critical = exception = take

    def write(self) -> None:
        """Write what is ready."""
        with self._writing:
            lines = []
            while self._ready:
                lines.append(self._ready.popleft() + b"\n")
            if lines:
                file = self._file()
                file.write(b"".join(lines))
                file.flush()

    @contextmanager
    def together(self, soon: Callable[[Callable[[], None]], object]) -> Iterator[None]:
        """Within, lines of this thread are written when `soon` calls back: an event loop lets go of Python's lock once for many."""
        self._thread, self._soon = get_ident(), soon
        try:
            yield
        finally:
            self._thread = None
            self.write()


LINES = Lines(lambda: sys.stderr.buffer)


def configure_logs() -> None:
    """Write log lines to stderr from now on, in this process."""
    atexit.register(LINES.write)
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        processors=[structlog.processors.add_log_level, stamped, only_allowed, encoded],
        logger_factory=lambda *_: LINES,
    )


def stamped(_logger: Any, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Return the line with its instant."""
    line["timestamp"] = datetime.now(UTC)  # noqa: TID251 - a line of the log is of now
    return line


def only_allowed(_logger: Any, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Return the line without keys that are not on the list; `dropped` says how many there were."""
    if unknown := line.keys() - ALLOWED:
        for key in unknown:
            del line[key]
        line["dropped"] = len(unknown)
    return line


def encoded(_logger: Any, _method: str, line: MutableMapping[str, Any]) -> bytes:
    """Return the line as it is written. What is no JSON is not shown."""
    return orjson.dumps(line, default=lambda _: "***", option=orjson.OPT_UTC_Z)
