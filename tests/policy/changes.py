"""One thing changed in a situation, each thing that policy can see."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.policy.makers import bundle, situation
from vault.policy.lexicon import ROLES
from vault.policy.model import PartyTerms
from vault.policy.situations import Situation

FIELDS = tuple(bundle().catalogue["fields"])
CONTEXTS = tuple(bundle().matrix["contexts"])
TEMPLATES = ("retail@1", "health-insurance@1", "health-insurance@1", "marketing@1", "legal-claims@1")

Change = Callable[[Situation, random.Random], Situation]


def perturbed(draw: random.Random) -> Situation:
    """A typical situation with up to three things changed: random ones are nearly all denied, and a test of those is blind."""
    made = situation(draw.choice(CONTEXTS), [draw.choice(TEMPLATES)])
    for _ in range(draw.choice((0, 1, 1, 2, 3))):
        made = draw.choice(CHANGES)(made, draw)
    return made


def _some_fields(draw: random.Random) -> frozenset[str]:
    return frozenset(draw.sample(FIELDS, draw.choice((0, 5))))


def _agreement(made: Situation, **changes: Any) -> Situation:
    return made.about(agreements=(made.subject.agreements[0]._replace(**changes),))


def _terms(draw: random.Random) -> PartyTerms:
    """A recipient on the register: mostly sound, for what is denied anyway tells nothing."""
    party = draw.choice(tuple(bundle().lexicon.recipients))
    return PartyTerms(party, draw.random() < 0.8, draw.choice(("none", "A46-2-c")), draw.choice(("IT", "IT", "CH", "US")))


CHANGES: tuple[Change, ...] = (
    lambda s, d: s.called_by(roles=frozenset(d.sample(ROLES, d.randrange(1, 3)))),
    lambda s, d: s.called_by(training=frozenset(d.sample(("gdpr-art9",), d.randrange(2)))),
    lambda s, d: s.called_by(recipient=d.choice(tuple(bundle().lexicon.recipients))),
    lambda s, d: s.called_by(region=d.choice(("IT", "FR", "GB", "CH", "US"))),
    lambda s, d: s.with_ticket(
        state=d.choice(("none", "asserted", "verified", "closed", "of-another-person", "not-yours")), assigned=d.random() < 0.5
    ),
    lambda s, d: s.with_ticket(in_care=d.random() < 0.5, request_assigned=d.random() < 0.5, request_fields=_some_fields(d)),
    lambda s, _: s.with_ticket(caller_verified=True),
    lambda s, d: replace(s, act=d.choice(("profile", "reveal", "export", "amend"))),
    lambda s, d: s.within(purpose=d.choice(tuple(bundle().lexicon.purposes))),
    lambda s, d: s.within(channel=d.choice(("phone", "email", "chat", "social", "front_office", "portal", "api"))),
    lambda s, d: s.within(caller=replace(s.context.caller, level=d.randrange(4))),
    lambda s, d: s.about(restricted=frozenset(d.sample(FIELDS, 3))),
    lambda s, _: s.about(objected=True),
    lambda s, _: s.about(objected_marketing=True),
    lambda s, d: s.about(minor=d.choice(("under-14", "14-17", "adult", "unknown"))),
    lambda s, d: s.about(**{d.choice(("time_barred", "deceased")): True}),
    lambda s, d: _agreement(s, phase=d.choice(("before", "in", "after"))),
    lambda s, d: _agreement(s, consent=d.choice(("valid", "withdrawn", "expired", "none"))),
    lambda s, d: _agreement(s, excluded=frozenset(d.sample(FIELDS, 3))),
    lambda s, d: _agreement(s, foreign=frozenset(d.sample(FIELDS, 3))),
    lambda s, _: _agreement(s, after_restriction=True, after_objection=True),
    lambda s, d: s.called_by(recipient="desk-of-their-own", terms=_terms(d)),
)
