"""A bundle signed before the program that asks it: it decides by its own rules, whatever more it is told."""

import json
from dataclasses import replace
from itertools import product

import pytest

from tests.policy.makers import bundle, policy, situation
from vault.policy.bundle import Bundle
from vault.policy.engine import Policy
from vault.policy.grid import Grid
from vault.policy.plan import plan
from vault.policy.trial import Candidate, matrix_checks, tried

ASKED = ("given_name", "email", "iban", "health_note")


@pytest.fixture(scope="module")
def older() -> Bundle:
    """The shipped bundle of a day when nothing was known of the dead: no attribute, no verb, no policy on either."""
    schema = bundle().schema.replace("      deceased: Bool,\n", "").replace(" record_death,", "")
    gone = {"deceased", "record_death"}
    assert not gone & set(schema.replace(":", " ").replace(",", " ").split())
    kept = {name: one for name, one in bundle().policies.items() if not gone & set(json.dumps(one).split('"'))}
    assert len(kept) < len(bundle().policies)
    return replace(bundle(), schema=schema, policies=kept)


@pytest.mark.parametrize(("start", "deceased"), list(product(["t1", "medical"], [False, True])))
def test_it_decides_as_it_would_have_that_day(older: Bundle, start: str, *, deceased: bool) -> None:
    """Whether somebody is dead is told to it, and moves nothing."""
    decided = situation(start, person={"deceased": deceased}).decided(Policy(older), *ASKED)
    assert not decided.failed
    assert decided.fields == situation(start).decided(policy(), *ASKED).fields


def test_a_verb_it_does_not_know_is_refused_and_the_others_go_on(older: Bundle) -> None:
    officer = situation("dsr-officer")
    may = {verb: Policy(older).may(verb, officer.context, officer.caller, officer.ticket) for verb in ("record_death", "restrict")}
    assert not may["record_death"].allowed
    assert may["restrict"] == policy().may("restrict", officer.context, officer.caller, officer.ticket)


def test_what_changes_from_it_can_be_planned(older: Bundle) -> None:
    grid = replace(
        Grid.of([(one.policies, one.lexicon) for one in (older, bundle())]),
        acts=("profile",),
        principals=(("agent", "t1"),),
        purposes=("customer-care",),
        channels=("phone",),
    )
    found = plan(Candidate.of(older, held=False), Candidate.of(bundle(), held=False), grid)
    assert not found.widens


def test_a_bundle_on_trial_is_held_to_its_schema(older: Bundle) -> None:
    """The other way round it would go unseen that a bundle and the program it is written for do not fit."""
    assert tried(Candidate.of(older), list(matrix_checks(older))[:1]).failed
