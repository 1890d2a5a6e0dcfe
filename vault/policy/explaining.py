"""A recorded decision explained: taken again from its record, compared, and tried with single and paired changes.

The changes are what a caller can bring about: a ticket, whose it is, the person's identity proved, a purpose or channel of their
own role, a reveal. What a change would open is told only as far as the caller could find out by making it: purposes and channels
are those the table of roles gives the role.
"""

from collections.abc import Iterator, Mapping
from itertools import chain, combinations, islice
from typing import Any, Final, NamedTuple

from vault.policy.engine import Policy
from vault.policy.inputs import Circumstance, LawKey, ViewKey
from vault.policy.lexicon import RIGHTS, FieldFacts
from vault.policy.model import FieldDecision
from vault.policy.replay import Keys, differences, joined, keys_of
from vault.policy.rows import EngineFault, Plate

MOST_TRIED: Final = 64
Change = tuple[str, Any]


class Unlike(Exception):
    """A record that does not come out as it was recorded, or is none: an alarm went out, and nothing may be explained by it."""


class Replayed(NamedTuple):
    """A recorded decision taken again and found equal. `body` says of each field which policies spoke, and on which rung."""

    keys: Keys
    plate: Plate
    body: Mapping[str, Any]


class Needed(NamedTuple):
    """How clearly a field would have been shown, had these things been so."""

    shown: FieldDecision
    changes: tuple[Change, ...]


def replay(policy: Policy, kept: Mapping[str, Any]) -> Replayed:
    """Take a recorded decision again, by the engine and not from the tables. Raises Unlike, after the alarm `decision-differs`."""
    try:
        keys = keys_of(policy.lexicon, kept)
        laws = [policy.law_anew(key) for key in keys.laws]
        row, body = policy.view_anew(keys.view)
        filled = joined(policy.lexicon, keys, laws, row)
        found = differences(keys, kept, laws, row, filled)
    except (ValueError, KeyError, EngineFault):
        found = ["record"]
    if found:
        policy.alarm("decision-differs")
        raise Unlike
    return Replayed(keys, filled, body)


def needed(policy: Policy, replayed: Replayed) -> dict[str, tuple[Needed, ...]]:
    """Return for each field not shown in clear what would have shown it more clearly: the fewest changes for each way."""
    keys, found = replayed.keys, {name: dict[tuple[Any, ...], Needed]() for name in replayed.plate.fields}
    facts = {one.name: one for one in policy.lexicon.fields}
    for changes in islice(_tried(policy, keys.view), MOST_TRIED):
        try:
            tried = _changed(policy, keys, dict(changes))
        except EngineFault:
            continue
        for name, one in tried.fields.items():
            if _clearness(facts[name], one) < _clearness(facts[name], replayed.plate.fields[name]):
                found[name].setdefault((one.level, one.mask), Needed(one, changes))
    return {name: tuple(ways.values()) for name, ways in found.items() if ways}


def _tried(policy: Policy, key: ViewKey) -> Iterator[tuple[Change, ...]]:
    """Yield the changes: single ones, then pairs of two things."""
    single = tuple(_single(policy, key))
    pairs = (pair for pair in combinations(single, 2) if pair[0][0] != pair[1][0])
    return chain(((one,) for one in single), pairs)


def _single(policy: Policy, key: ViewKey) -> Iterator[Change]:
    own = policy.occasions(key.roles)
    if key.principal == "agent":
        if key.ticket != "verified":
            yield "ticket", "verified"
        if not key.assigned:
            yield "assigned", True
        if not key.caller_verified:
            yield "caller_verified", True
    if key.act == "profile":
        yield "act", "reveal"
    yield from (("purpose", one) for one in sorted({str(stated["purpose"]) for stated in own} - {key.purpose}))
    yield from (("channel", one) for one in sorted({str(stated["channel"]) for stated in own} - {key.channel}))


def _changed(policy: Policy, keys: Keys, changes: dict[str, Any]) -> Plate:
    """Return the answer as it would have been."""
    laws = [one._replace(circumstance=_circumstance(one, changes)) for one in keys.laws]
    rows = [policy.law(one) for one in laws]
    lawful = after = 0
    for one, row in zip(laws, rows, strict=True):
        lawful |= row.bits
        after |= row.bits if one.after_restriction else 0
    accepted = keys.view.request_accepted and changes.get("purpose", RIGHTS) == RIGHTS
    view = keys.view._replace(lawful=lawful, after_restriction=after, **{**changes, "request_accepted": accepted})
    order = sorted(range(len(rows)), key=lambda number: rows[number].order)  # stable: what ranks alike keeps its order
    return joined(policy.lexicon, keys._replace(view=view), [rows[number] for number in order], policy.view(view))


def _circumstance(law: LawKey, changes: Mapping[str, Any]) -> Circumstance:
    shared = law.circumstance
    purpose = changes.get("purpose", shared.purpose)
    acts = shared.acts_for_subject and (shared.recipient == "subject" or purpose == RIGHTS)
    return shared._replace(purpose=purpose, acts_for_subject=acts)


def _clearness(field: FieldFacts, one: FieldDecision) -> int:
    """Return how clearly a decision shows a field, the clearest lowest: clear, each mask weakest first, token, withheld."""
    masks = [name for name, _ in field.ladder]
    if one.level == "masked":
        return 1 + (masks.index(one.mask) if one.mask in masks else len(masks))
    return {"clear": 0, "token": 1 + len(masks), "withheld": 2 + len(masks)}[one.level]
