"""Codes: bound to one request and one sending, compared alike whatever is kept, and told in both languages."""

from datetime import UTC, datetime, timedelta
from typing import get_args

from vault.rights.codes import code_digits, code_hash, code_mail, is_code, settled_since
from vault.rights.letter_words import Language
from vault.rights.letters import Facts

AT = datetime(2026, 11, 24, 12, tzinfo=UTC)
SECRET = bytes(range(32))


def test_a_code_is_of_one_request_and_one_sending() -> None:
    """Seen failing with the digits hashed alone."""
    kept = code_hash(SECRET, "req_1", "otc_1", "123456")
    assert is_code(kept, code_hash(SECRET, "req_1", "otc_1", "123456"))
    others = (
        code_hash(SECRET, "req_2", "otc_1", "123456"),
        code_hash(SECRET, "req_1", "otc_2", "123456"),
        code_hash(SECRET, "req_1", "otc_1", "123457"),
        code_hash(SECRET[::-1], "req_1", "otc_1", "123456"),
    )
    assert not any(is_code(kept, one) for one in others)


def test_there_are_always_six_digits() -> None:
    assert (code_digits(bytes(16)), code_digits(b"\0" * 14 + b"\x01\x01")) == ("000000", "000257")
    assert code_digits((10**6 + 7).to_bytes(16, "big")) == "000007"


def test_where_nothing_is_kept_nothing_is_a_code() -> None:
    assert not is_code(None, code_hash(SECRET, "req_1", "", "123456"))
    assert not is_code(None, bytes(32))


def test_a_contact_stood_before_the_request_and_for_a_day() -> None:
    assert settled_since(AT - timedelta(days=3), AT) == AT - timedelta(days=3)
    assert settled_since(AT, AT) == AT - timedelta(days=1)


def test_the_message_says_what_it_is_for_and_the_subject_line_does_not_say_the_code() -> None:
    for language in get_args(Language):
        subject, text = code_mail(language, Facts("req_1", "access", "Acme S.p.A.", "a@b.it", "c@d.it", "https://e.it"), "012345")
        assert "012345" not in subject
        assert all(one in text for one in ("012345", "req_1", "10 min", "a@b.it", "Acme"))
        assert "{" not in subject + text
