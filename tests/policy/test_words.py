"""Every reason there is has words in both languages, and says nothing of a policy's inside."""

import pytest

from tests.policy.makers import bundle
from vault.policy.decision import PERMISSIONS, REFUSALS
from vault.policy.words import ALLOWED, LEVELS, REFUSED, reason, sentence


@pytest.mark.parametrize("code", [*REFUSALS, *PERMISSIONS])
def test_every_reason_has_words_in_both_languages(code: str) -> None:
    assert set(reason(code)) == {"it", "en"}
    assert all(reason(code).values())


def test_no_words_are_for_a_reason_there_is_not() -> None:
    assert set(REFUSED) == set(REFUSALS)
    assert set(ALLOWED) == {code.partition("-")[0] for code in PERMISSIONS}
    with pytest.raises(KeyError):
        reason("no-such-reason")


def test_a_sentence_names_field_outcome_and_reason() -> None:
    labels = bundle().catalogue["fields"]["email"]["labels"]
    said = sentence(labels, "masked", "support-t1-contact")
    assert said["en"] == f"{labels['en']}: shown in part only; support needed it for your case."
    assert said["it"].startswith(labels["it"])
    assert set(LEVELS) == {"clear", "masked", "token", "withheld", "absent"}
