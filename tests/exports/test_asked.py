"""The mark of what was asked for: over every member, under a secret. Pure."""

from datetime import UTC, datetime
from typing import Any

import pytest

from vault.exports.asked import MEMBERS, bears, mark, version_of

AT = datetime(2026, 10, 20, 8, 0, 0, 123456, tzinfo=UTC)
ROW: dict[str, Any] = {
    "export_id": "exp_1", "subject_id": "sub_1", "set": "access", "language": "it", "request_id": None, "channel": "portal",
    "asker": {"id": "sub_1", "level": 2}, "ticket_id": None, "salt": b"s", "public": memoryview(b"p"), "asked_at": AT,
    "entry_id": "ent_1", "state": "building",
}  # fmt: skip
SECRET = b"k" * 32


def test_it_holds_for_the_row_alone() -> None:
    made = mark(SECRET, 7, "ctl", ROW)
    assert (version_of(made), len(made)) == (7, 36)
    assert bears(SECRET, "ctl", {**ROW, "state": "ready"}, made)
    assert not bears(b"x" * 32, "ctl", ROW, made)
    assert not bears(SECRET, "other", ROW, made)


@pytest.mark.parametrize("name", MEMBERS)
def test_every_member_counts(name: str) -> None:
    assert not bears(SECRET, "ctl", {**ROW, name: "something else"}, mark(SECRET, 1, "ctl", ROW))


@pytest.mark.parametrize("marked", [None, b"", b"x" * 35, b"x" * 37])
def test_what_is_no_mark(marked: bytes | None) -> None:
    with pytest.raises(ValueError, match="no mark"):
        version_of(marked)
