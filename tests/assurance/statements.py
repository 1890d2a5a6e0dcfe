"""What is sent to the database, in order: the driver's statements and the recorder's own, of the threads that serve callers."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import current_thread
from typing import Any

import psycopg
import pytest

from vault.audit.exchange import Call, Exchange
from vault.database import Database, Reading

BESIDE = ("riserbo-", "controller-keys")  # threads that look after the trail and the keys, whoever asks for what


@contextmanager
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Yield the list that every statement sent in the block is appended to: its text, or the name it was prepared under."""
    seen: list[str] = []
    send, execute, fetch = Exchange._send, psycopg.Cursor.execute, Database._fetched

    def note(what: str) -> None:
        if not current_thread().name.startswith(BESIDE):
            seen.append(what)

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
        yield seen
