"""What a new bundle would change: who sees more, less, or otherwise, before anybody does.

Two bundles are compared over their grid (`grid`). Differences are grouped by role, purpose, category and the policies that make
them: WIDENS (somebody sees more), NARROWS, MASK (another mask, as strong). Each WIDENS must stand in `plan/accepted.yaml` of the
new bundle, with a reason and an owner, and under the digest of the bundle it was planned against: an acceptance is of one change,
once.

Gates are compared one by one, so a difference that the other gate hides is reported too. Where only policies differ, contexts that
none of those reads apart are asked once; of what they say alike, the whole says alike.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

from vault.policy.asking import Asked, Said, Side, differing, moved, permitted
from vault.policy.cedar import families, spoken_on
from vault.policy.engine import VERBS
from vault.policy.files import parsed
from vault.policy.grid import Grid
from vault.policy.inputs import LawKey, ViewKey
from vault.policy.model import Act
from vault.policy.trial import Candidate

Json = Mapping[str, Any]
Kind = Literal["WIDENS", "NARROWS", "MASK"]

_FAMILIES: Final[tuple[tuple[str, Act | None], ...]] = (
    ("view", None),
    ("verify", None),
    ("amend", "amend"),
    ("find", "find"),
)
ACCEPTED: Final = "plan/accepted.yaml"


class Change(NamedTuple):
    """One group of differences. `fields` are those it concerns; for a verb that shows no field, the verb is the category."""

    kind: Kind
    role: str
    purpose: str
    category: str
    policy: str

    @property
    def document(self) -> dict[str, str]:
        """Return it as `accepted.yaml` names it."""
        return {"role": self.role, "purpose": self.purpose, "category": self.category, "policy": self.policy}


@dataclass(frozen=True)
class Plan:
    """Every difference with the fields it concerns, and the WIDENS nobody accepted."""

    old: str
    new: str
    changes: Mapping[Change, tuple[str, ...]]
    unaccepted: tuple[Change, ...]

    @property
    def widens(self) -> bool:
        """Whether anybody would see more."""
        return any(one.kind == "WIDENS" for one in self.changes)


class Found(NamedTuple):
    """One difference, ungrouped."""

    kind: Kind
    role: str
    purpose: str
    field: str
    category: str
    policy: str


def plan(old: Candidate, new: Candidate, grid: Grid | None = None, advance: Callable[[int], None] = lambda _: None) -> Plan:
    """Compare two bundles; `advance` is told of each context asked."""
    both = _Both(old, new, advance)
    grouped: dict[Change, set[str]] = {}
    for one in both.found(grid) if both.may_differ else ():
        grouped.setdefault(Change(one.kind, one.role, one.purpose, one.category, one.policy), set()).add(one.field)
    changes = {change: tuple(sorted(grouped[change])) for change in sorted(grouped)}
    known = _accepted(new.bundle.files, old.bundle.digest)
    missing = tuple(one for one in changes if one.kind == "WIDENS" and one[1:] not in known)
    return Plan(old.bundle.digest, new.bundle.digest, changes, missing)


def _accepted(files: Mapping[str, bytes], against: str) -> set[tuple[str, ...]]:
    document = parsed(files[ACCEPTED]) if ACCEPTED in files else {}
    return {
        (one["role"], one["purpose"], one["category"], one["policy"])
        for one in document.get("widens", ())
        if one["from"] == against
    }


class _Both:
    """Two candidates, asked the same."""

    def __init__(self, old: Candidate, new: Candidate, advance: Callable[[int], None]) -> None:
        self._sides = tuple(Side(one) for one in (old, new))
        self._advance = advance
        before, after = old.bundle.policies, new.bundle.policies
        self._changed = {name for name in {*before, *after} if before.get(name) != after.get(name)}
        self._fields = tuple(one for one in old.bundle.lexicon.positions if one in new.bundle.lexicon.positions)
        self._categories = {one.name: one.category for one in new.bundle.lexicon.fields}
        self._moved = moved(old, new)
        self._still = tuple(one for one in self._fields if one not in self._moved.fields)  # one that moved stands for no other

    @property
    def may_differ(self) -> bool:
        """Whether anything that decides differs. Neither limits nor texts show a field: of those alone nothing is asked."""
        return bool(self._changed or self._moved.views or self._moved.law)

    def found(self, grid: Grid | None) -> Iterator[Found]:
        """Yield every difference over a grid, by default that of both."""
        bundles = [one.candidate.bundle for one in self._sides]
        grid = grid or Grid.of([(one.policies, one.lexicon) for one in bundles])
        yield from self.views(grid)
        yield from self.laws(grid)
        yield from self.verbs(grid)

    def views(self, grid: Grid) -> Iterator[Found]:
        """Yield the differences of gate 2: how clearly each field is seen, and who finds, changes and verifies it."""
        keys = tuple(grid.views())
        for family, act in _FAMILIES:
            asked = Asked(family, self._still, self._changed_of(family))
            if not (any(asked.some) or self._moved.views):
                continue
            permits = Asked(family, self._still, self._permits_of(family))
            for key in keys if act is None else dict.fromkeys(key._replace(act=act) for key in keys):
                self._advance(1)
                fields = self._worth_telling(asked, key)
                seen = permitted(permits, self._sides, key, fields) if fields else ()
                # A field that moved is another one in each bundle, so it is asked whatever the permits say.
                yield from self._compared(family, key, tuple(one for one in fields if one in seen or one in self._moved.fields))

    def _changed_of(self, family: str) -> tuple[Mapping[str, Any], ...]:
        return tuple(
            {name: one for name, one in families(side.candidate.bundle.policies)[family].items() if name in self._changed}
            for side in self._sides
        )

    def _permits_of(self, family: str) -> tuple[Mapping[str, Any], ...]:
        every = (families(side.candidate.bundle.policies)[family] for side in self._sides)
        return tuple({name: one for name, one in some.items() if one["effect"] == "permit"} for some in every)

    def _worth_telling(self, asked: Asked, key: ViewKey) -> tuple[str, ...]:
        """Return the fields that may be shown otherwise: the changed policies disagree on them, or the closed world moved."""
        if self._moved.concerns(key):
            return self._fields
        return tuple(dict.fromkeys((*differing(asked, self._sides, key), *self._moved.fields)))

    def _compared(self, family: str, key: ViewKey, fields: tuple[str, ...]) -> Iterator[Found]:
        if fields:
            before, after = (side.seen(family, key, fields) for side in self._sides)
            for field in fields:
                yield from self._told(_role(key), key.purpose, field, before[field], after[field])

    def laws(self, grid: Grid) -> Iterator[Found]:
        """Yield the differences of gate 1: a field that an agreement makes lawful, or no longer does."""
        some = self._changed_of("law")
        if not (any(some) or self._moved.law):
            return
        for key in grid.laws():
            self._advance(1)
            before, after = (side.lawful(key) for side in self._sides)
            for field in self._fields:
                yield from self._told(_recipient(key), key.circumstance.purpose, field, before[field], after[field])

    def verbs(self, grid: Grid) -> Iterator[Found]:
        """Yield the differences of verbs that show no field."""
        verbs = VERBS if self._moved.roles or self._moved.purposes else self._changed_verbs()
        if not verbs:
            return
        asked = dict.fromkeys(_occasion(key) for key in grid.views())
        for key in asked:
            self._advance(1)
            before, after = (side.used(verbs, key) for side in self._sides)
            for verb in verbs:
                yield from self._told(_role(key), key.purpose, verb, before[verb], after[verb])

    def _changed_verbs(self) -> tuple[str, ...]:
        """Return the verbs on which a policy that differs can speak."""
        spoken = [spoken_on(one) for some in self._changed_of("verb") for one in some.values()]
        return tuple(verb for verb in VERBS if any(verb in one for one in spoken))

    def _told(self, role: str, purpose: str, what: str, before: Said, after: Said) -> Iterator[Found]:
        if before.clearness == after.clearness:
            return
        wider, narrower = after.clearness[:2] > before.clearness[:2], after.clearness[:2] < before.clearness[:2]
        kind: Kind = "WIDENS" if wider else "NARROWS" if narrower else "MASK"
        named = {*before.by, *before.caps, *after.by, *after.caps} & self._changed or set(after.by if wider else before.by)
        yield Found(kind, role, purpose, what, self._categories.get(what, what), " ".join(sorted(named)))


def _role(key: ViewKey) -> str:
    return " ".join(sorted(key.roles)) if key.principal == "agent" else f"{key.principal} {' '.join(sorted(key.roles))}".strip()


def _occasion(key: ViewKey) -> ViewKey:
    """Return the key with what a verb that shows no field cannot see set to nothing."""
    return key._replace(
        act="profile", training=frozenset(), caller_verified=False, level=0, step_up=False, break_glass="none", minor=False,
        in_care=False, restricted=frozenset(), lawful=0, after_restriction=0, request_fields=frozenset(),
    )  # fmt: skip


def _recipient(key: LawKey) -> str:
    return f"recipient {key.circumstance.recipient}"
