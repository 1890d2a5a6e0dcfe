"""Letters: total, in both languages, with date, reasons and remedies; and nothing of anybody in them."""

from datetime import date
from typing import get_args

import pytest

from vault.rights.kinds import KINDS
from vault.rights.letter_words import Language
from vault.rights.letters import ABOUT, About, Facts, Mail, letter

REACH = ("Acme S.p.A.", "a@b.it", "c@d.it", "https://e.it")
FACTS = Facts("req_1", "access", *REACH, date(2026, 12, 8))


@pytest.mark.parametrize("about", ABOUT)
@pytest.mark.parametrize("kind", KINDS)
def test_every_letter_is_there_whole(about: About, kind: str) -> None:
    for language in get_args(Language):
        subject, text = letter(about, language, Facts("req_1", kind, *REACH, None, "GDPR 12", "motivo"))
        assert "Acme" in subject
        assert "{" not in subject + text
        assert all(one in text for one in ("req_1", "a@b.it", "c@d.it", "https://e.it"))


@pytest.mark.parametrize(("language", "said"), [("it", "entro il 8 dicembre 2026"), ("en", "by 8 December 2026")])
def test_it_says_until_when(language: Language, said: str) -> None:
    assert said in letter("received", language, FACTS)[1]


@pytest.mark.parametrize("about", ["fulfilled", "refused", "unidentified"])
def test_what_ends_says_where_to_complain(about: About) -> None:
    assert "Garante" in letter(about, "it", FACTS)[1]
    assert "Italian data protection authority" in letter(about, "en", FACTS)[1]
    assert "Garante" not in letter("received", "it", FACTS)[1]


def test_a_refusal_says_why_and_an_erasure_that_it_is_the_last_letter() -> None:
    refused = Facts("req_1", "erasure", *REACH, None, "GDPR 17(3)(b)", "La legge ci obbliga")
    assert "La legge ci obbliga (GDPR 17(3)(b))" in letter("refused", "it", refused)[1]
    assert "ultimo messaggio" in letter("accepted", "it", refused)[1]
    assert "ultimo messaggio" not in letter("accepted", "it", FACTS)[1]


def test_what_is_sent_is_never_printed() -> None:
    assert "giulia" not in repr(Mail("ltr_1", "giulia@example.it", "it", "giulia", "giulia"))
