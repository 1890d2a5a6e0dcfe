"""Whatever somebody adds: a permit never shows less of anything, a forbid never more. Policies are drawn, and Cedar decides."""

import random
from collections.abc import Callable

import pytest

from tests.policy.changes import CHANGES, CONTEXTS, FIELDS
from tests.policy.makers import bundle, candidate, seeded, situation
from vault.policy.cedar import compiled
from vault.policy.inputs import ViewKey
from vault.policy.lexicon import ROLES
from vault.policy.model import CHANNELS
from vault.policy.trial import how_clearly

LEXICON = bundle().lexicon
Drawn = Callable[[random.Random], str]

PRINCIPALS: tuple[Drawn, ...] = (
    lambda _: "principal",
    lambda _: "principal is Vault::Agent",
    lambda d: f'principal is Vault::Agent in Vault::Role::"{d.choice(ROLES)}"',
    lambda _: "principal is Vault::Subject",
)
CONDITIONS: tuple[Drawn, ...] = (
    lambda d: f'context.purpose == Vault::Purpose::"{d.choice(tuple(LEXICON.purposes))}"',
    lambda d: f'context.channel == "{d.choice(CHANNELS)}"',
    lambda d: f"resource.sensitivity {d.choice(('<', '<=', '>', '>='))} {d.randrange(1, 5)}",
    lambda d: "resource in [" + ", ".join(f'Vault::Field::"{one}"' for one in d.sample(FIELDS, 4)) + "]",
    lambda d: f"context has ticket && context.ticket.{d.choice(('verified', 'assigned'))}",
    lambda d: f"context has mask && context.mask.strength >= {d.randrange(1, 4)}",
    lambda d: f"{d.choice(('', '!'))}context.subject.{d.choice(('isSelf', 'inCare', 'minor', 'restricted'))}",
    lambda d: f"context.level < {d.randrange(4)}",
    lambda _: "resource.special",
)
ACTIONS = ("view_clear", "view_masked", "view_token")


def drawn(draw: random.Random, effect: str) -> str:
    actions = ", ".join(f'Vault::Action::"{one}"' for one in draw.sample(ACTIONS, draw.randrange(1, 4)))
    conditions = " && ".join(one(draw) for one in draw.sample(CONDITIONS, draw.choice((0, 1, 1, 2))))
    when = f" when {{ {conditions} }}" if conditions else ""
    scope = f"{draw.choice(PRINCIPALS)(draw)}, action in [{actions}], resource"
    return f'@id("drawn") @reason("role") @owner("x") {effect} ({scope}){when};'


def asked(draw: random.Random) -> ViewKey:
    """A typical context, mostly with something changed, and some fields lawful."""
    made = situation(draw.choice(CONTEXTS))
    if draw.random() < 0.6:
        made = draw.choice(CHANGES)(made, draw)
    return made.key(LEXICON.mask(draw.sample(FIELDS, 10)))


def moved(effect: str, seed: int, number: int) -> int:
    """Draw policies and contexts, compare every field with and without the policy, and return how many made a difference."""
    draw, different = seeded(seed), 0
    for _ in range(number):
        text, key = drawn(draw, effect), asked(draw)
        without = candidate()
        beside = without.with_policies({**bundle().policies, **compiled(text)})
        before, after = (how_clearly(one, one.policy.view(key)) for one in (without, beside))
        pairs = list(zip(before, after, strict=True))
        assert all(old <= new if effect == "permit" else new <= old for old, new in pairs), text
        different += before != after
    return different


@pytest.mark.parametrize("effect", ["permit", "forbid"])
def test_an_added_permit_never_shows_less_and_a_forbid_never_more(effect: str) -> None:
    assert moved(effect, 31, 40) >= 3


@pytest.mark.drill
@pytest.mark.parametrize("effect", ["permit", "forbid"])
def test_a_thousand_added_policies_of_each_kind(effect: str) -> None:
    assert moved(effect, 32, 1_000) >= 100
