"""What people are written about their requests, in Italian and English. Pure. No letter names its reader or holds a value.

A letter says which request it is about by its number, what became of it, until when it is in time, whom to turn to, and where to
complain (GDPR 12(3), (4), 77, 79). Source: `rights.md` 3.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from typing import Final, Literal, get_args

from vault.rights.letter_words import KINDS, WORDS, Language

About = Literal["received", "accepted", "fulfilled", "refused", "withdrawn", "duplicate", "unidentified", "contact-changing"]
ABOUT: Final = get_args(About)


@dataclass(frozen=True, slots=True)
class Facts:
    """What a letter is made of. `house`: the company; `contact`, `dpo`: how to reach it, and its officer; `portal`: where to look.

    `law`, `text`: of a refusal, in the letter's language.
    """

    request_id: str
    kind: str
    house: str
    contact: str
    dpo: str
    portal: str
    due: date | None = None
    law: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Mail:
    """One message, never printed. `message_id`: the same at every attempt, so that a relay may tell a repetition."""

    message_id: str
    to: str = field(repr=False)
    language: Language
    subject: str = field(repr=False)
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Mailed:
    """What came of one attempt. `code`: None where it was taken; `final`: trying again would be of no use (RFC 5321 4.2.1)."""

    code: str | None = None
    final: bool = False


Send = Callable[[Mail], Mailed]  # never raises for what the other side does


def letter(about: About, language: Language, facts: Facts) -> tuple[str, str]:
    """Return a letter's subject line and text."""
    words = WORDS[language]
    said = words[about].format(kind=KINDS[facts.kind][language], due=_day(facts.due, language), law=facts.law, text=facts.text)
    if about == "accepted" and facts.kind == "erasure":
        said += " " + words["last"]
    parts = [words["greeting"], said, words["look"].format(portal=facts.portal)]
    if about in _ENDS:
        parts.append(words["remedies"])
    parts.append(words["reach"].format(contact=facts.contact, dpo=facts.dpo, request_id=facts.request_id))
    return words["subject"].format(house=facts.house), "\n\n".join([*parts, facts.house]) + "\n"


_ENDS: Final = ("fulfilled", "refused", "unidentified")
_MONTHS: Final = (
    "gennaio", "febbraio", "marzo", "aprile", "maggio", "giugno", "luglio", "agosto", "settembre", "ottobre", "novembre",
    "dicembre",
)  # fmt: skip


def _day(day: date | None, language: Language) -> str:
    if day is None:
        return {"it": "appena avremo la Sua risposta", "en": "as soon as we have your answer"}[language]
    return (
        f"entro il {day.day} {_MONTHS[day.month - 1]} {day.year}" if language == "it" else f"by {day:%d %B %Y}".replace(" 0", " ")
    )
