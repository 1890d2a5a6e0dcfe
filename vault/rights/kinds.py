"""What a person may ask, and on which terms: ground, identity, who decides, which law's period. Pure.

Levels of identity: 0 none, 1 a code to a contact known before, 2 a session with a second factor, 3 eIDAS high, or seen in branch.
Tax code, birth date and other knowledge are never proof; no setting lowers a level. Source: `rights.md` 1.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

Kind = Literal[
    "access", "portability", "rectification", "erasure", "restriction", "objection", "objection-marketing", "withdrawal",
    "human-review", "recipients", "access-log", "obscuring", "onco-oblivion", "deceased", "dispute",
]  # fmt: skip
Decider = Literal["request-officer", "dpo", "nobody"]
CERTIFIERS: Final = ("health-facility", "specialist", "general-practitioner")  # who may certify an old cancer (DM 5 July 2024)


@dataclass(frozen=True, slots=True)
class Terms:
    """On which terms one kind is asked.

    `special`: the level where special categories are concerned; `contact`: where it is how a person is reached or paid; `second`:
    two persons, always; `second_special`: where special categories are concerned.
    """

    ground: str
    level: int
    decided_by: Decider
    regime: str
    special: int = 0
    contact: int = 0
    second: bool = False
    second_special: bool = False
    regime_special: str = ""

    def level_for(self, *, special: bool, contact: bool = False) -> int:
        """Return the level that is needed."""
        return max(self.level, self.special if special else 0, self.contact if contact else 0)

    def second_for(self, *, special: bool) -> bool:
        """Say whether who accepts is not who carries out."""
        return self.second or (special and self.second_special)

    def regime_for(self, *, special: bool) -> str:
        """Return the name of the period that counts."""
        return self.regime_special if special and self.regime_special else self.regime


REACHED: Final = frozenset({"email", "mobile", "phone", "address", "iban"})  # whoever changes these may become the person
TOLD_BY: Final = REACHED - {"iban"}  # by what of a person's somebody can be told something
_MONTH, _AT_ONCE, _DOSSIER = "gdpr-12-3", "immediate", "dossier-2015"
KINDS: Final[Mapping[Kind, Terms]] = {
    "access": Terms("GDPR 15", 2, "request-officer", _MONTH, special=3, second_special=True),
    "portability": Terms("GDPR 20", 2, "request-officer", _MONTH, special=3, second_special=True),
    "rectification": Terms("GDPR 16", 2, "request-officer", _MONTH, contact=3),
    "erasure": Terms("GDPR 17", 2, "dpo", _MONTH, second=True),
    "restriction": Terms("GDPR 18", 2, "request-officer", _MONTH),
    "objection": Terms("GDPR 21(1)", 2, "dpo", _AT_ONCE),
    "objection-marketing": Terms("GDPR 21(2), (3)", 0, "nobody", _AT_ONCE),
    "withdrawal": Terms("GDPR 7(3)", 0, "nobody", _AT_ONCE),
    "human-review": Terms("GDPR 22(3)", 2, "request-officer", _MONTH),
    "recipients": Terms("GDPR 15(1)(c), 19", 2, "nobody", _MONTH),
    "access-log": Terms("GDPR 15", 2, "nobody", _MONTH, special=3, regime_special=_DOSSIER),
    "obscuring": Terms("Garante, 4 June 2015", 3, "request-officer", _AT_ONCE),
    "onco-oblivion": Terms("L. 193/2023", 2, "dpo", "onco-193"),
    "deceased": Terms("d.lgs. 196/2003 art. 2-terdecies", 3, "dpo", _MONTH, second=True),
    "dispute": Terms("GDPR 5(2), 15", 2, "dpo", _MONTH),
}


def reaches(fields: Collection[str]) -> bool:
    """Say whether a request is of how a person is reached or paid; no fields are all of them."""
    return not fields or not REACHED.isdisjoint(fields)


def seen_on(kind: Kind, fields: Collection[str]) -> frozenset[str]:
    """Return which fields a request officer needs for a request of these: those (GDPR 5(1)(c)); none are all of them.

    Where how somebody is reached is to change, also by what whoever is there now can be told.
    """
    told = TOLD_BY if kind == "rectification" and fields and reaches(fields) else frozenset[str]()
    return frozenset(fields) | told


assert KINDS.keys() == set(get_args(Kind))  # noqa: S101 - total, or nothing starts
