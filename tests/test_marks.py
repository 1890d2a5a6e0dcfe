"""The mark of a row: over everything it says, of which kind it is, for whom, under a secret. Pure."""

from datetime import UTC, datetime
from typing import Any

import pytest

from vault.marks import bears, mark, version_of

AT = datetime(2026, 10, 20, 8, 0, 0, 123456, tzinfo=UTC)
ROW: dict[str, Any] = {
    "id": "exp_1",
    "none": None,
    "asker": {"id": "sub_1", "level": 2},
    "salt": b"s",
    "public": memoryview(b"p"),
    "at": AT,
}
SECRET = b"k" * 32


def test_it_holds_for_the_row_alone() -> None:
    made = mark(SECRET, 7, "kind", "ctl", ROW)
    assert (version_of(made), len(made)) == (7, 36)
    assert bears(SECRET, "kind", "ctl", dict(reversed(ROW.items())), made)
    assert not bears(b"x" * 32, "kind", "ctl", ROW, made)
    assert not bears(SECRET, "kind", "other", ROW, made)
    assert not bears(SECRET, "other", "ctl", ROW, made)


@pytest.mark.parametrize("name", ROW)
def test_every_member_counts(name: str) -> None:
    assert not bears(SECRET, "kind", "ctl", {**ROW, name: "something else"}, mark(SECRET, 1, "kind", "ctl", ROW))


@pytest.mark.parametrize("marked", [None, b"", b"x" * 35, b"x" * 37])
def test_what_is_no_mark(marked: bytes | None) -> None:
    with pytest.raises(ValueError, match="no mark"):
        version_of(marked)
