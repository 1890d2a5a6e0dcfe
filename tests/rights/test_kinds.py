"""What may be asked: which fields an officer needs for it."""

from vault.rights.kinds import REACHED, TOLD_BY, seen_on


def test_nobody_is_told_by_an_account_number() -> None:
    assert "iban" not in TOLD_BY
    assert TOLD_BY < REACHED


def test_an_officer_needs_what_a_request_is_of_and_by_what_whoever_is_there_now_is_told() -> None:
    assert seen_on("access", ()) == seen_on("rectification", ()) == frozenset()  # everything
    assert seen_on("rectification", ("given_name",)) == {"given_name"}
    assert seen_on("rectification", ("given_name", "iban")) == {"given_name", "iban"} | TOLD_BY
    assert seen_on("restriction", ("iban",)) == {"iban"}
