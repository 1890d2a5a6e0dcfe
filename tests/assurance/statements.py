"""What is sent to the database, in order: the driver's statements and the recorder's own, of the threads that serve callers.

A lane that serves closes, when it comes to it, the writers of companies nobody has asked about for a minute: that is nobody's ask.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import current_thread, get_ident
from typing import Any

import psycopg
import pytest

from vault.audit.exchange import Call, Exchange
from vault.audit.lane import Lane
from vault.database import Database, Reading

BESIDE = ("riserbo-", "controller-keys")  # threads that look after the trail and the keys, whoever asks for what


@contextmanager
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Yield the list that every statement sent in the block is appended to: its text, or the name it was prepared under."""
    seen: list[str] = []
    send, execute, fetch, close = Exchange._send, psycopg.Cursor.execute, Database._fetched, Lane.close
    closing: set[int] = set()  # threads

    def note(what: str) -> None:
        if not current_thread().name.startswith(BESIDE) and get_ident() not in closing:
            seen.append(what)

    def ending(lane: Lane) -> None:
        closing.add(get_ident())
        try:
            close(lane)
        finally:
            closing.discard(get_ident())

    def executing(cursor: "psycopg.Cursor[Any]", query: Any, *rest: Any, **more: Any) -> Any:
        note(str(query))
        return execute(cursor, query, *rest, **more)

    def sending(exchange: Exchange, calls: Sequence[Call], deadline: float) -> Any:
        for statement, _ in calls:
            note(statement.name.decode())
        return send(exchange, calls, deadline)

    def fetching(database: Database, controller_id: str, reading: Reading, parameters: Mapping[str, bytes]) -> Any:
        note(reading.name.decode())
        return fetch(database, controller_id, reading, parameters)

    with monkeypatch.context() as patched:
        patched.setattr(Database, "_fetched", fetching)
        patched.setattr(psycopg.Cursor, "execute", executing)
        patched.setattr(Exchange, "_send", sending)
        patched.setattr(Lane, "close", ending)
        yield seen
