"""How long the house keeps its own records: `policies/retention.yaml`. Pure.

1. What a log of inquiries says is kept 24 months at least by banks and where health dossiers are kept (Garante 192/2011, 4.2.2;
   4 June 2015): the log, and after an erasure its details.
2. Elsewhere the log is kept six months for its administrators (Garante, 27 November 2008), and details may go at once.
3. A bundle from before this document keeps what was kept then.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Final

from vault.policy.files import Json

NAMES: Final = ("tombstones", "audit-details", "agreement-history", "trail")
_MEMBERS: Final = frozenset({"period", "law", "counsel"})
_PERIOD: Final = re.compile(r"P(?=[0-9])(?:([0-9]{1,3})Y)?(?:([0-9]{1,4})M)?(?:([0-9]{1,5})D)?")
_INQUIRIES: Final = (24, 731)  # months, and as many days as they can be
_ADMINISTRATORS: Final = (6, 184)


@dataclass(frozen=True, slots=True)
class Keeping:
    """How long one kind of record is kept, by which law, and whether counsel is to confirm it."""

    period: str
    law: tuple[str, ...]
    counsel: bool

    @property
    def days(self) -> timedelta:
        """The period of what is kept by the day. Raises ValueError for another."""
        years, months, days = _parts(self.period)
        if years or months:
            raise ValueError("not in days")
        return timedelta(days=days)


BEFORE: Final[Mapping[str, Keeping]] = MappingProxyType(
    {
        "tombstones": Keeping("P24M", (), counsel=True),
        "audit-details": Keeping("P24M", ("Garante 192/2011",), counsel=False),
        "agreement-history": Keeping("P10Y", ("c.c. 2946",), counsel=False),
        "trail": Keeping("P731D", ("Garante 192/2011", "Garante 4 June 2015"), counsel=False),
    }
)


def keeping_of(document: Json) -> dict[str, Keeping]:
    """Return how long each kind of record is kept. Raises ValueError naming what is unfit, or shorter than the law allows."""
    stated, inquiries = document.get("records"), document.get("inquiry_logs")
    if not isinstance(stated, dict) or tuple(stated) != NAMES or type(inquiries) is not bool:
        raise ValueError(f"records are {', '.join(NAMES)}, and inquiry_logs is said")
    found = {name: _keeping(name, one) for name, one in stated.items()}
    if faults := list(_faults(found, inquiries=inquiries)):
        raise ValueError(faults[0])
    return found


def _faults(found: Mapping[str, Keeping], *, inquiries: bool) -> Iterator[str]:
    years, months, days = _parts(found["trail"].period)
    if years or months:
        yield "trail: its period is in days"
    least = _INQUIRIES if inquiries else _ADMINISTRATORS
    if days < least[1]:
        yield f"trail: the law keeps it {least[0]} months at least, {least[1]} days"
    years, months, days = _parts(found["audit-details"].period)
    if inquiries and 12 * years + months < _INQUIRIES[0] and days < _INQUIRIES[1]:
        yield f"audit-details: the law keeps them {_INQUIRIES[0]} months at least"


def _keeping(name: str, stated: Any) -> Keeping:
    if not isinstance(stated, dict) or stated.keys() != _MEMBERS or type(stated["counsel"]) is not bool:
        raise ValueError(f"{name}: is no period of a record")
    if not isinstance(stated["law"], list) or not all(isinstance(one, str) and one.strip() for one in stated["law"]):
        raise ValueError(f"{name}: law is a list of laws")
    if not isinstance(stated["period"], str) or not _PERIOD.fullmatch(stated["period"]):
        raise ValueError(f"{name}: its period is none")
    return Keeping(stated["period"], tuple(stated["law"]), stated["counsel"])


def _parts(period: str) -> tuple[int, int, int]:
    found = _PERIOD.fullmatch(period)
    if found is None:
        raise ValueError("no period")
    years, months, days = map(int, found.groups("0"))
    return years, months, days
