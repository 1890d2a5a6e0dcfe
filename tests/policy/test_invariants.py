"""What must hold in every row of gate 2, whatever the table says: over a grid of contexts, with everything lawful unless said."""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import pytest

from tests.policy.changes import CONTEXTS, FIELDS
from tests.policy.makers import bundle, policy, situation
from vault.policy.engine import Policy
from vault.policy.inputs import ViewKey, view_key
from vault.policy.lexicon import ROLES
from vault.policy.model import CHANNELS
from vault.policy.rows import Verdict, View

LEXICON = bundle().lexicon
FACTS = {one.name: one for one in LEXICON.fields}
STRENGTH = {mask: strength for one in LEXICON.fields for mask, strength in one.ladder}
DESKS = ("t1", "t2", "billing", "medical")
PURPOSES = ("customer-care", "billing", "health-service", "rights-fulfilment", "marketing", "legal-claims", "customer-management")
CELLS = {name: one["purpose"] for name, one in bundle().matrix["contexts"].items()}


def key_of(start: str, **changes: Any) -> ViewKey:
    made = situation(start)
    return view_key(made.context, "profile", made.caller, made.ticket, made.subject, LEXICON.everything, 0)._replace(**changes)


def row_of(start: str, **changes: Any) -> View:
    return policy()._view(key_of(start, **changes))


def levels(row: View) -> list[tuple[int, int]]:
    """How much each field shows, as numbers that compare: clear, each mask by strength, token, withheld."""
    order = {"withheld": 0, "token": 1, "masked": 2, "clear": 3}
    return [(order[one.shown.level], -STRENGTH.get(one.shown.mask or "", 0)) for one in row.cells]


def shown(row: View) -> set[str]:
    return {name for name, one in zip(FIELDS, row.cells, strict=True) if one.shown.level != "withheld"}


def grid() -> Iterator[tuple[str, dict[str, Any]]]:
    for start, ticket in product(CONTEXTS, ("none", "asserted", "verified")):
        yield start, {"ticket": ticket, "assigned": ticket == "verified"}


def test_what_is_not_lawful_is_withheld_from_everyone() -> None:
    for start in CONTEXTS:
        for act in ("profile", "amend"):
            assert shown(row_of(start, act=act, lawful=0, level=3)) == set()


class YesEngine:
    def evaluate(self, _: Sequence[Any], requests: Sequence[Any]) -> list[Verdict]:
        return [Verdict(allowed=True, by=("t1-identity",))] * len(requests)


def test_an_engine_that_allows_everything_makes_no_row_that_shows_what_is_not_lawful() -> None:
    row = Policy(bundle(), YesEngine())._view(key_of("customer", lawful=LEXICON.mask(FIELDS[::2])))
    assert shown(row) == set(FIELDS[::2])


def test_special_data_are_shown_to_care_to_their_request_and_to_the_person_only() -> None:
    special = {name for name, one in FACTS.items() if one.special}
    for start, changes in grid():
        if start not in ("medical", "customer", "dsr-officer"):
            assert not shown(row_of(start, **changes)) & special
    for changes in ({"training": frozenset()}, {"in_care": False}):
        assert not shown(row_of("medical", **changes)) & special
    for role in ROLES:
        unfit = {"roles": frozenset({role}), "in_care": True, "request_accepted": False, "training": frozenset({"gdpr-art9"})}
        if role != "medical":
            assert not shown(row_of("medical", **unfit)) & special


def test_a_weaker_ticket_or_a_more_open_channel_never_shows_more() -> None:
    for start in (*DESKS, "dsr-officer"):
        for channel in ("phone", "chat"):
            verified, asserted, none = (
                levels(row_of(start, channel=channel, ticket=ticket, assigned=ticket == "verified"))
                for ticket in ("verified", "asserted", "none")
            )
            assert all(a <= v for a, v in zip(asserted, verified, strict=True)) or start in (
                "customer",
                "system",
                "system-marketing",
            )
            assert all(n <= v for n, v in zip(none, verified, strict=True))
        phone = levels(row_of(start, channel="phone"))
        for channel in CHANNELS:
            assert all(one <= best for one, best in zip(levels(row_of(start, channel=channel)), phone, strict=True))


def test_a_minor_or_a_restriction_never_shows_more() -> None:
    for start in CONTEXTS:
        free = levels(row_of(start))
        for changes in ({"minor": True}, {"restricted": frozenset(FIELDS[::3])}):
            assert all(one <= best for one, best in zip(levels(row_of(start, **changes)), free, strict=True))


@pytest.mark.parametrize("office", ["dpo", "operator"])
def test_an_office_shows_nothing_with_any_other_role(office: str) -> None:
    for role in ROLES:
        start = {"dsr-officer": "dsr-officer", "medical": "medical", "billing": "billing"}.get(role, "t2")
        assert shown(row_of(start, roles=frozenset({office, role}))) == set()


@pytest.mark.parametrize("start", DESKS)
def test_a_desk_acts_for_its_purpose_on_its_ticket(start: str) -> None:
    assert shown(row_of(start))
    for purpose in PURPOSES:
        if purpose != CELLS[start]:
            assert shown(row_of(start, purpose=purpose, act="reveal", caller_verified=True)) == set()
    unfit: tuple[dict[str, Any], ...] = (
        {"ticket": "none", "assigned": False},
        {"ticket": "none", "assigned": False, "act": "reveal", "caller_verified": True},
        {"assigned": False},
        {"assigned": False, "act": "reveal", "caller_verified": True},
        {"act": "export"},
        {"act": "export", "caller_verified": True},
        {"roles": frozenset()},
        {"principal": "system", "training": frozenset()},
    )
    if start == "medical":
        unfit = (*unfit, {"training": frozenset()}, {"in_care": False})
    for changes in unfit:
        assert shown(row_of(start, **changes)) == set()


REVEALS = {
    "t1": set(),
    "t2": {"email", "mobile", "phone", "address", "correspondence"},
    "billing": {"tax_code", "iban", "balance"},
    "medical": {"mobile", "phone"},
}


@pytest.mark.parametrize("start", DESKS)
def test_only_a_reveal_to_a_verified_caller_on_a_verified_ticket_shows_more(start: str) -> None:
    whole = {"act": "reveal", "caller_verified": True}
    profile = levels(row_of(start))
    more = zip(FIELDS, levels(row_of(start, **whole)), profile, strict=True)
    assert {name for name, revealed, shown_before in more if revealed > shown_before} == REVEALS[start]
    for less in ({"act": "profile"}, {"caller_verified": False}, {"ticket": "asserted", "assigned": False}):
        assert all(one <= best for one, best in zip(levels(row_of(start, **{**whole, **less})), profile, strict=True))


def test_systems_and_the_person_are_kept_to_their_purposes_and_acts() -> None:
    for purpose in PURPOSES:
        if purpose not in ("customer-care", "marketing"):
            assert shown(row_of("system", purpose=purpose)) == set()
        if purpose != "rights-fulfilment":
            assert shown(row_of("customer", purpose=purpose)) == set()
            assert shown(row_of("dsr-officer", purpose=purpose)) == set()
    for start, changes in (
        ("system", {"act": "export"}),
        ("system", {"act": "reveal"}),
        ("system", {"principal": "agent"}),
        ("customer", {"act": "reveal"}),
        ("customer", {"is_self": False}),
        ("dsr-officer", {"act": "reveal"}),
        ("dsr-officer", {"request_accepted": False}),
    ):
        assert shown(row_of(start, **changes)) == set()


def test_roles_that_are_only_names_show_nothing() -> None:
    for role in ("legal-archive", "minors-desk", "break-glass-eligible", "break-glass-approver", "unmask-approver"):
        for start in (*DESKS, "dsr-officer"):
            assert shown(row_of(start, roles=frozenset({role}))) == set()


def test_what_is_never_clear_is_never_clear() -> None:
    for start in CONTEXTS:
        for act in ("profile", "reveal", "export"):
            row = row_of(start, act=act, caller_verified=True)
            for name, one in zip(FIELDS, row.cells, strict=True):
                assert FACTS[name].clearable or one.shown.level != "clear"
                assert one.shown.mask != "card_bin_last4"
                assert not (FACTS[name].never_to_subject and one.shown.level != "withheld")
