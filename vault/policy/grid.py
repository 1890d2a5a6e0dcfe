"""The contexts two bundles are compared in: every literal either of them names, and one other of each kind. Pure.

A grid made by hand misses what somebody adds. Of principals, purposes, acts, channels and tickets it is the whole product; what is
a yes or a no, and what counts, is changed alone, from a start in which everything speaks for the caller.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Final

from vault.policy.inputs import Circumstance, LawKey, ViewKey
from vault.policy.lexicon import RIGHTS, ROLES, TRAINING, Lexicon, closure
from vault.policy.literals import conditions, entities, placing, strings
from vault.policy.model import CHANNELS

Json = Mapping[str, Any]

ALL: Final = -1
EVERY_FIELD: Final = frozenset({"*"})
ACTS: Final = ("profile", "reveal", "export")
TICKETS: Final = (
    *(("none", False), ("closed", False), ("of-another-person", False), ("not-yours", False), ("asserted", False)),
    *(("verified", False), ("verified", True)),
)
_FLIPS: Final[tuple[dict[str, Any], ...]] = (  # each changes what the start says; where it does not, there is nothing to ask
    {"caller_verified": False},
    {"training": frozenset()},
    {"in_care": False},
    {"request_accepted": False},
    {"is_self": False},
    {"minor": True},
    {"step_up": True},
    {"break_glass": "open"},
    {"break_glass": "approved"},
    {"lawful": 0},
    {"restricted": EVERY_FIELD},
    {"restricted": EVERY_FIELD, "after_restriction": ALL},
)
_LAW_FLIPS: Final[tuple[dict[str, Any], ...]] = tuple(
    {name: True} for name in ("acts_for_subject", "objected", "objected_marketing", "minor", "time_barred", "deceased")
)
_LEVELS: Final = ({"level": 2}, {"level": 1}, {"level": 0})  # a person's; nobody else has one


@dataclass(frozen=True)
class Grid:
    """The domains. `principals` are (kind, role); a person has no role."""

    principals: tuple[tuple[str, str], ...]
    purposes: tuple[str, ...]
    acts: tuple[str, ...]
    channels: tuple[str, ...]
    regions: tuple[str, ...]
    operations: tuple[str, ...]
    recipients: tuple[str, ...]
    templates: tuple[str, ...]  # those both bundles have: of another nobody agreed to anything yet

    @classmethod
    def of(cls, bundles: Sequence[tuple[Mapping[str, Json], Lexicon]]) -> "Grid":
        """Return the grid of some bundles' policies and closed worlds."""
        named = [one for policies, _ in bundles for policy in policies.values() for one in entities(dict(policy))]
        texts = [one for policies, _ in bundles for policy in policies.values() for one in _texts(policy)]
        placed = [one for number, (policies, _) in enumerate(bundles) for one in _placed(dict(policies), str(number))]
        worlds = [lexicon for _, lexicon in bundles]
        roles = _domain(_ids(named, "Role"), ROLES)
        return cls(
            principals=(*(("agent", role) for role in roles), ("system", "system"), ("system", roles[-1]), ("subject", "customer")),
            purposes=_purposes({*_ids(named, "Purpose")}, bundles),
            acts=_told_apart(placed, _domain((text for name, text in texts if name == "act"), ACTS)),
            channels=_told_apart(placed, _domain((text for name, text in texts if name == "channel"), CHANNELS)),
            regions=_regions(worlds),
            operations=_domain(_ids(named, "Operation"), (one for world in worlds for one in world.operations)),
            recipients=tuple(sorted(set.intersection(*(set(world.recipients) for world in worlds)))),
            templates=tuple(sorted(set.intersection(*(set(world.terms) for world in worlds)))),
        )

    def views(self) -> Iterator[ViewKey]:
        """Yield what gate 2 is asked in. Masks are ALL or 0, and `restricted` is EVERY_FIELD: bundles differ in fields."""
        for who, purpose, act, channel, ticket in product(self.principals, self.purposes, self.acts, self.channels, TICKETS):
            yield _favoured(who, purpose, act, channel, ticket)
        for who, purpose, act in product(self.principals, self.purposes, self.acts):
            start = _favoured(who, purpose, act, self.channels[-1], TICKETS[-1])
            for flip in (*_FLIPS, *(_LEVELS if start.is_self else ())):
                if (key := start._replace(**flip)) != start:
                    yield key

    def laws(self) -> Iterator[LawKey]:
        """Yield what gate 1 is asked in."""
        for template, purpose, recipient in product(self.templates, self.purposes, self.recipients):
            starts = [_plain(template, purpose, recipient, *place) for place in product(self.operations, self.regions)]
            yield from starts
            last, shared = starts[-1], starts[-1].circumstance
            for flip in _LAW_FLIPS:
                yield last._replace(circumstance=shared._replace(**flip))
            yield last._replace(circumstance=shared._replace(objected_marketing=True), after_objection=True)
            yield from (last._replace(consent=consent) for consent in ("withdrawn", "expired", "none"))
            yield from (last._replace(phase=phase) for phase in ("before", "after"))


def _plain(template: str, purpose: str, recipient: str, operation: str, region: str) -> LawKey:
    shared = Circumstance(
        purpose, operation, recipient, region,
        acts_for_subject=False, restricted=frozenset(), objected=False, objected_marketing=False, minor=False, time_barred=False,
        deceased=False,
    )  # fmt: skip
    return LawKey(
        template, "valid", "in", frozenset(), frozenset(), after_restriction=False, after_objection=False, circumstance=shared
    )


def _favoured(
    who: tuple[str, str], purpose: str, act: str, channel: str, ticket: tuple[str, bool]
) -> ViewKey:  # fmt: skip
    kind, role = who
    person = kind == "subject"
    state, assigned = ("none", False) if person else ticket
    return ViewKey(
        principal=kind,
        roles=frozenset() if person else frozenset({role}),
        training=frozenset(TRAINING) if kind == "agent" else frozenset(),
        act=act,  # type: ignore[arg-type]  # the closed list
        purpose=purpose,
        channel=channel,  # type: ignore[arg-type]  # the closed list
        ticket=state,  # type: ignore[arg-type]  # the closed list
        assigned=assigned,
        caller_verified=True,
        level=3 if person else 0,
        step_up=False,
        break_glass="none",
        minor=False,
        is_self=person,
        in_care=not person,
        request_accepted=role == "dsr-officer" and purpose == RIGHTS,
        restricted=frozenset(),
        lawful=ALL,
        after_restriction=0,
    )


def _texts(policy: Json) -> Iterator[tuple[str | None, str]]:
    for body in conditions(dict(policy)):
        yield from strings(body)


def _ids(named: Iterable[tuple[str, str]], kind: str) -> Iterator[str]:
    return (name for one, name in named if one == f"Vault::{kind}")


def _domain(literals: Iterable[str], known: Iterable[str]) -> tuple[str, ...]:
    """Return the literals that exist, and one that no policy names; it stands last."""
    every = sorted(set(known))
    named = set(literals) & set(every)
    other = [one for one in every if one not in named]
    return (*sorted(named), *other[:1])


def _purposes(named: Collection[str], bundles: Sequence[tuple[Mapping[str, Json], Lexicon]]) -> tuple[str, ...]:
    """Return the purposes that policies name, and one of each kind of others.

    Those are told apart by `in`, and by the templates that agree to one in one bundle and not in the other.
    """
    asked = {one for policies, _ in bundles for policy in policies.values() for one in _ids(placing(dict(policy)), "Purpose")}
    worlds = [lexicon for _, lexicon in bundles]
    shared = set.intersection(*(set(world.terms) for world in worlds))
    found: dict[object, str] = {}
    for one in sorted({purpose for world in worlds for purpose in world.purposes}):
        above = tuple(closure(one, world.purposes) & asked for world in worlds)
        below = tuple(frozenset(name for name in asked if one in closure(name, world.purposes)) for world in worlds)
        agreed = tuple(dict.fromkeys(frozenset(name for name in shared if one in world.terms[name].agreed) for world in worlds))
        found.setdefault(one if one in named else (above, below, agreed if len(agreed) > 1 else ()), one)
    return tuple(found.values())


def _told_apart(placed: Sequence[tuple[str, str]], domain: Sequence[str]) -> tuple[str, ...]:
    """Return one of those that stand in the same places only: the members of one set are told apart by nothing else."""
    found: dict[frozenset[str], str] = {}
    for one in domain:
        found.setdefault(frozenset(place for place, text in placed if text == one), one)
    return tuple(found.values())


def _placed(node: Any, place: str) -> Iterator[tuple[str, str]]:
    """Yield every text with its place; those of one set have one."""
    if isinstance(node, str):
        yield place, node
    elif isinstance(node, list):
        for number, one in enumerate(node):
            yield from _placed(one, place if place.endswith("/Set") else f"{place}/{number}")
    elif isinstance(node, dict):
        for name, one in node.items():
            yield from _placed(one, place if "/Set" in place[-4:] else f"{place}/{name}")


def _regions(worlds: Sequence[Lexicon]) -> tuple[str, ...]:
    """Return one state for each set of groups that states are in, and one that is in none."""
    found: dict[tuple[tuple[str, ...], ...], str] = {}
    for state in sorted({one for world in worlds for one in world.regions}):
        found.setdefault(tuple(world.regions.get(state, ()) for world in worlds), state)
    return tuple(found.values())
