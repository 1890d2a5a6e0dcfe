"""What is sent to the database, in order: Core's statements and the recorder's own, of the threads that serve callers."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import current_thread
from typing import Any

import pytest
import sqlalchemy as sa

from vault.audit.exchange import Call, Exchange

BESIDE = ("riserbo-", "controller-keys")  # threads that look after the trail and the keys, whoever asks for what


@contextmanager
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Yield the list that every statement sent in the block is appended to: its text, or the name it was prepared under."""
    seen: list[str] = []
    send = Exchange._send

    def note(what: str) -> None:
        if not current_thread().name.startswith(BESIDE):
            seen.append(what)

    def before(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        note(statement)

    def sending(exchange: Exchange, calls: Sequence[Call], deadline: float) -> Any:
        for statement, _ in calls:
            note(statement.name.decode())
        return send(exchange, calls, deadline)

    sa.event.listen(sa.Engine, "before_cursor_execute", before)
    try:
        with monkeypatch.context() as patched:
            patched.setattr(Exchange, "_send", sending)
            yield seen
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", before)
