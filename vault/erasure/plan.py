"""What an erasure will do, field by field, and the account of what it did. Pure.

1. By purpose, not by record: a field a duty to keep covers is archived, everything else is destroyed (GDPR 17(1), 17(3)(b)).
2. Fields of a class share a data key, so what is archived is sealed anew under another, and the old key goes all the same.
3. What only a duty keeps already stays as it is.
4. The plan's digest says what is destroyed and what is kept, not until when: executed is what was accepted, or nothing.
5. The account never names a field that is kept from the person, nor a value, nor anybody.

Source: `rights.md` 3 and 6.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

import rfc8785

METHOD: Final = ("keys-destroyed", "rows-deleted")


@dataclass(frozen=True, slots=True)
class Duty:
    """A duty to keep: the agreement that holds for it, which fields it covers, and until which day (ISO)."""

    agreement_id: str
    fields: frozenset[str]
    code: str
    law: tuple[str, ...]
    until: str


@dataclass(frozen=True, slots=True)
class HeldClass:
    """One generation of a class as it lies there. `values`: by field, how many there are, former ones among them.

    `duties` hold its key for later; `archived`: nothing else does, and no agreement opens it.
    """

    class_name: str
    generation: int
    data_key_id: str
    values: Mapping[str, int]
    duties: Sequence[Duty] = ()
    archived: bool = False


@dataclass(frozen=True, slots=True)
class PlannedField:
    """One field of one generation. `duty` is what archives it; None: it is destroyed."""

    name: str
    class_name: str
    data_key_id: str
    values: int
    duty: Duty | None


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan. `keys` are the data keys that go, `reseal` the classes something of which is sealed anew."""

    fields: Sequence[PlannedField]
    keys: Sequence[str]
    reseal: Sequence[str]
    digest: bytes

    @property
    def destroyed(self) -> list[PlannedField]:
        """The fields that go."""
        return [one for one in self.fields if one.duty is None]

    @property
    def archived(self) -> list[PlannedField]:
        """The fields a duty keeps."""
        return [one for one in self.fields if one.duty is not None]


def planned(held: Sequence[HeldClass]) -> Plan:
    """Return what erasing all of this comes to; the first duty that covers a field keeps it."""
    ordered = sorted(held, key=lambda one: (one.class_name, one.generation))
    fields = [
        PlannedField(name, one.class_name, one.data_key_id, one.values[name], _keeps(one, name))
        for one in ordered
        for name in sorted(one.values)
    ]
    keys = tuple(one.data_key_id for one in ordered if not (one.archived and one.duties))
    reseal = tuple(sorted({one.class_name for one in fields if one.duty is not None and one.data_key_id in keys}))
    said: dict[str, Any] = {
        "fields": [[one.name, one.data_key_id, one.values, one.duty.agreement_id if one.duty else ""] for one in fields],
        "keys": list(keys),
    }
    return Plan(fields, keys, reseal, sha256(rfc8785.dumps(said)).digest())


def _keeps(held: HeldClass, name: str) -> Duty | None:
    duties = sorted(held.duties, key=lambda one: one.agreement_id)
    covering = [one for one in duties if name in one.fields]
    if held.archived and not covering:
        covering = duties  # sealed with what is covered: it cannot be opened to be told apart
    return covering[0] if covering else None


def account(plan: Plan, categories: Mapping[str, str], untold: Collection[str]) -> dict[str, Any]:
    """Return `outcome`, `state`, `erased` and `archived` as the person is told; `untold` are fields kept from them."""
    told = [one for one in plan.fields if one.name not in untold]
    gone = [one for one in told if one.duty is None]
    kept = [one for one in told if one.duty is not None]
    archives = any(one.duty is not None for one in plan.fields)
    return {
        "outcome": "partial" if kept else "complete" if gone else "nothing-held",
        "state": "archived" if archives else "erased-live",
        "erased": [_erased(category, ours) for category, ours in _by_category(gone, categories).items()],
        "archived": [
            _archived(category, duty, [one for one in ours if one.duty == duty])
            for category, ours in _by_category(kept, categories).items()
            for duty in dict.fromkeys(one.duty for one in ours)
            if duty is not None
        ],
    }


def _by_category(fields: Sequence[PlannedField], categories: Mapping[str, str]) -> dict[str, list[PlannedField]]:
    found: dict[str, list[PlannedField]] = {}
    for one in fields:
        found.setdefault(categories[one.name], []).append(one)
    return dict(sorted(found.items()))


def _erased(category: str, fields: Sequence[PlannedField]) -> dict[str, Any]:
    return {
        "category": category, "fields": _names(fields), "values": sum(one.values for one in fields), "method": list(METHOD),
        "data_keys": sorted({one.data_key_id for one in fields}),
    }  # fmt: skip


def _archived(category: str, duty: Duty, fields: Sequence[PlannedField]) -> dict[str, Any]:
    return {
        "category": category, "fields": _names(fields), "code": duty.code, "law": list(duty.law), "agreement_id": duty.agreement_id,
        "until": duty.until or None,
    }  # fmt: skip


def _names(fields: Sequence[PlannedField]) -> list[str]:
    return sorted({one.name for one in fields})


def spelt(at: datetime) -> str:
    """Return an instant in UTC as RFC 3339, whole seconds."""
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")
