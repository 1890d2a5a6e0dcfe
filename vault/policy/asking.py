"""Asking two bundles the same: how clearly each shows a field, and where the policies that differ say otherwise.

Each request costs Cedar the same, however few policies it is asked of, so what nothing tells apart is asked once: fields that the
policies in question do not distinguish, and contexts that differ only in what they do not read.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from operator import attrgetter
from typing import Any, Final, NamedTuple

from vault.policy import cedar
from vault.policy.cedar import distinctions, families
from vault.policy.engine import PolicyEngine
from vault.policy.grid import ALL, EVERY_FIELD
from vault.policy.groups import Bucket, Distinctions, attributes_of
from vault.policy.inputs import LawKey, ViewKey
from vault.policy.lexicon import FieldFacts, Lexicon, closure
from vault.policy.rows import Rung, Verdict
from vault.policy.trial import LEVELS, Candidate

Uid = tuple[str, str]
Clearness = tuple[int, int, str]  # level, minus the mask's strength, mask: compares like how much is seen

_NOTHING: Final[Clearness] = (0, 0, "")
_SEEN_BY: Final[Mapping[str, tuple[str, ...]]] = {  # what a policy reads, and where that stands in the key of gate 2
    "act": ("act",),
    "purpose": ("purpose",),
    "channel": ("channel",),
    "ticket": ("ticket", "assigned"),
    "callerVerified": ("caller_verified",),
    "level": ("level",),
    "stepUp": ("step_up",),
    "breakGlass": ("break_glass",),
    "subject": ("minor", "restricted", "is_self", "in_care", "request_accepted"),
    "basis": ("lawful", "after_restriction"),
    "training": ("training",),
}
_ACTIONS: Final = {"view": ("view_clear", "view_masked", "view_token")}


class Said(NamedTuple):
    """How clearly something is seen, the policies that say so, and those that keep it from being seen more clearly."""

    clearness: Clearness
    by: tuple[str, ...]
    caps: tuple[str, ...] = ()


class Moved(NamedTuple):
    """What of the closed world differs between two bundles: by it, every policy may decide otherwise."""

    fields: tuple[str, ...]
    roles: frozenset[str]
    purposes: frozenset[str]
    law: bool

    @property
    def views(self) -> bool:
        """Whether gate 2 may decide otherwise somewhere."""
        return bool(self.fields or self.roles or self.purposes)

    def concerns(self, key: ViewKey) -> bool:
        """Whether this context is one of those."""
        return bool(key.roles & self.roles) or key.purpose in self.purposes


def moved(old: Candidate, new: Candidate) -> Moved:
    """Return what of the closed world differs.

    `in` sees everything above, so an edge moves all that stands below it; and what is above may be asked who is in it.
    """
    before, after = (_placed(side.world) for side in (old, new))
    uids = {uid for uid in {*before, *after} if before.get(uid) != after.get(uid)}
    roles, fields = (_ids(uids, kind) for kind in ("Role", "Field"))
    above = frozenset(one for uid in uids for side in (before, after) if uid in side for one in side[uid][1])
    facts = {one.name: one for one in new.bundle.lexicon.fields}
    names = [one.name for one in old.bundle.lexicon.fields if one.name in facts and (facts[one.name] != one or one.name in fields)]
    return Moved(tuple(names), roles, _ids(above, "Purpose"), bool({kind for kind, _ in uids} - {"Vault::Role"}))


def _placed(world: Sequence[Mapping[str, Any]]) -> dict[Uid, tuple[Any, frozenset[Uid]]]:
    """Return what can be seen of each entity: its attributes, and itself with all that is above it."""
    parents = {_uid(one["uid"]): [_uid(above) for above in one["parents"]] for one in world}
    return {_uid(one["uid"]): (one["attrs"], closure(_uid(one["uid"]), parents)) for one in world}


def _uid(one: Mapping[str, str]) -> Uid:
    return one["type"], one["id"]


def _ids(uids: Iterable[Uid], kind: str) -> frozenset[str]:
    return frozenset(name for one, name in uids if one == f"Vault::{kind}")


class Side:
    """One of two candidates."""

    def __init__(self, candidate: Candidate) -> None:
        self.candidate = candidate
        self.lexicon: Lexicon = candidate.bundle.lexicon

    @cached_property
    def _apart(self) -> Mapping[str, Distinctions]:
        return {family: distinctions(some) for family, some in families(self.candidate.bundle.policies).items()}

    def here(self, key: ViewKey) -> ViewKey:
        """Return a key of the grid with this bundle's fields."""
        every = self.lexicon.everything
        return key._replace(
            lawful=every if key.lawful == ALL else 0,
            after_restriction=every if key.after_restriction == ALL else 0,
            restricted=frozenset(self.lexicon.positions) if key.restricted == EVERY_FIELD else frozenset(),
        )

    def seen(self, family: str, key: ViewKey, fields: Sequence[str]) -> dict[str, Said]:
        """Return how clearly each of these fields is seen."""
        found: dict[str, Said] = {}
        for group in alike(self.lexicon, self._apart[family], fields, masks=True):
            tried = self.tried(self.candidate.engine, key, group[0], _ladder(family, self.lexicon, group[0]))
            caps = tuple(sorted({by for _, one in tried if not one.allowed for by in one.by}))
            said = next((_said(rung, one) for rung, one in tried if one.allowed), Said(_NOTHING, caps or ("default-deny",)))
            found.update(dict.fromkeys(group, said._replace(caps=caps)))
        return found

    def tried(self, engine: PolicyEngine, key: ViewKey, field: str, ladder: Sequence[Rung]) -> list[tuple[Rung, Verdict]]:
        """Return what an engine says to each rung of one field."""
        position = self.lexicon.positions[field]
        part = Bucket(self.lexicon.fields[position], (position,))
        caller = [cedar.principal(key.principal, key.roles, key.training)]
        return list(zip(ladder, engine.evaluate(caller, cedar.view_requests(self.here(key), [(part, ladder)])), strict=True))

    def lawful(self, key: LawKey) -> dict[str, Said]:
        """Return which fields an agreement makes lawful."""
        row = self.candidate.policy.law(key)
        return {
            one.name: Said((1, 0, ""), ()) if row.bits >> place & 1 else Said(_NOTHING, row.blocked[place].cell.shown.by)
            for place, one in enumerate(self.lexicon.fields)
        }

    def used(self, verbs: Sequence[str], key: ViewKey) -> dict[str, Said]:
        """Return whether each verb that shows no field may be used."""
        caller = [cedar.principal(key.principal, key.roles, key.training)]
        verdicts = self.candidate.engine.evaluate(caller, [cedar.verb_request(verb, key) for verb in verbs])
        return {
            verb: Said((int(one.allowed), 0, ""), one.by or ("default-deny",)) for verb, one in zip(verbs, verdicts, strict=True)
        }


class Asked:
    """The policies of one family that differ, on their own, and what they were found to say."""

    def __init__(self, family: str, fields: Sequence[str], some: tuple[Mapping[str, Any], ...]) -> None:
        self.family, self.some = family, some
        self.apart = distinctions({f"{number} {name}": one for number, each in enumerate(some) for name, one in each.items()})
        self.fields = tuple(fields)
        reads = sorted({place for name in _attributes([*some]) for place in _SEEN_BY.get(name, ())})
        self.place: Callable[[ViewKey], tuple[Any, ...]] = attrgetter("principal", "roles", *reads)
        self.masks = "mask" in _attributes([*some])
        self.engines: list[PolicyEngine] = []
        self.said: dict[tuple[Any, ...], tuple[str, ...]] = {}


def differing(asked: Asked, sides: Sequence[Side], key: ViewKey) -> tuple[str, ...]:
    """Return the fields on which the policies that differ do not say the same on both sides.

    What they say alike, the whole says alike: of a forbid that speaks on both sides nothing comes, and else the same permits speak.
    """
    if not any(asked.some):
        return ()
    place = _place(asked, sides, key)
    if place not in asked.said:
        masks = asked.masks
        groups = alike(sides[0].lexicon, asked.apart, asked.fields, masks=masks)
        asked.said[place] = tuple(name for group in groups if _differ(asked, sides, key, group[0], masks=masks) for name in group)
    return asked.said[place]


def permitted(asked: Asked, sides: Sequence[Side], key: ViewKey, fields: Sequence[str]) -> tuple[str, ...]:
    """Return those of the fields that some permit would show; `asked` holds the permits alone. Of the rest nothing is ever seen."""
    place = _place(asked, sides, key)
    if place not in asked.said:
        groups = alike(sides[0].lexicon, asked.apart, asked.fields, masks=True)
        asked.said[place] = tuple(name for group in groups if _permits(asked, sides, key, group[0]) for name in group)
    return tuple(name for name in fields if name in asked.said[place])


def _permits(asked: Asked, sides: Sequence[Side], key: ViewKey, field: str) -> bool:
    ladder = _ladder(asked.family, sides[0].lexicon, field)
    return any(
        one.allowed or one.failed
        for side, engine in zip(sides, asked.engines, strict=True)
        for _, one in side.tried(engine, key, field, ladder)
    )


def _place(asked: Asked, sides: Sequence[Side], key: ViewKey) -> tuple[Any, ...]:
    if not asked.engines:
        asked.engines += [side.candidate.engine_of(one) for side, one in zip(sides, asked.some, strict=True)]
    return asked.place(key)


def _differ(asked: Asked, sides: Sequence[Side], key: ViewKey, field: str, *, masks: bool) -> bool:
    ladder = _ladder(asked.family, sides[0].lexicon, field)
    if not masks and asked.family == "view":
        ladder = [Rung(action) for action in _ACTIONS["view"]]
    before, after = (
        [one for _, one in side.tried(engine, key, field, ladder)] if some else [Verdict(allowed=False, by=())] * len(ladder)
        for side, engine, some in zip(sides, asked.engines, asked.some, strict=True)
    )
    return before != after


def alike(lexicon: Lexicon, apart: Distinctions, fields: Sequence[str], *, masks: bool) -> list[tuple[str, ...]]:
    """Return the fields in groups that nothing tells apart; with `masks`, of one ladder each."""
    groups: dict[Any, list[str]] = {}
    for name in fields:
        one: FieldFacts = lexicon.fields[lexicon.positions[name]]
        read = tuple(value for attribute, value in attributes_of(one).items() if attribute in apart.read)
        category = one.category if apart.categories else None
        named = apart.named.get(name, frozenset())
        groups.setdefault((read, named, category, one.ladder if masks else ()), []).append(name)
    return [tuple(group) for group in groups.values()]


def _attributes(node: Any) -> Iterator[str]:
    """Yield every attribute that is read, or whose presence is asked."""
    if isinstance(node, list):
        for one in node:
            yield from _attributes(one)
    elif isinstance(node, dict):
        yield from (operands["attr"] for operator, operands in node.items() if operator in (".", "has"))
        for one in node.values():
            yield from _attributes(one)


def _ladder(family: str, lexicon: Lexicon, field: str) -> list[Rung]:
    if family != "view":
        return [Rung(family)]
    masks = [Rung("view_masked", mask) for mask in lexicon.fields[lexicon.positions[field]].ladder]
    return [Rung("view_clear"), *masks, Rung("view_token")]


def _said(rung: Rung, verdict: Verdict) -> Said:
    if rung.action == "view_masked" and rung.mask is not None:
        return Said((LEVELS["masked"], -rung.mask[1], rung.mask[0]), verdict.by)
    return Said((LEVELS["token"] if rung.action == "view_token" else LEVELS["clear"], 0, ""), verdict.by)
