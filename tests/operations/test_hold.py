"""Legal holds: two place and two release; meanwhile nothing they cover is destroyed, and nothing opens through them."""

from copy import copy
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from structlog.testing import capture_logs

from tests.conftest import Controllers
from tests.makers import make_context, register
from tests.operations.test_erase import House as Erasing
from vault.errors import AccessDenied, Conflict, Erased, InvalidValue, NotFound, Stale
from vault.opening import Opened
from vault.operations.callers import Registration, register_caller
from vault.operations.disclose import disclose
from vault.operations.disclosure import Ask
from vault.operations.erase import Order, erase, plan_erasure
from vault.operations.hold import Held, Wish, approve_hold, end_holds, place_hold, release_hold, show_holds
from vault.operations.withdraw import withdraw
from vault.policy.model import Context

WHY = "lite pendente davanti al tribunale di Zanzibar"
SOON = datetime.now(ZoneInfo("Europe/Rome")).date() + timedelta(days=60)  # a hold ends by the day of where the controller is


@dataclass(frozen=True)
class House(Erasing):
    """A controller with two officers, and people on whom a hold may lie."""

    ahead: timedelta = timedelta(0)

    @property
    def vault(self) -> Any:
        found = self.opened.vault.governed(self.controller_id)
        return replace(found, now=lambda: self.opened.vault.now() + self.ahead) if self.ahead else found

    def officer(self, name: str) -> Context:
        return replace(self.dpo, caller=replace(self.dpo.caller, id=name))

    def placed(self, subject_id: str, *fields: str, **more: Any) -> Held:
        return place_hold(self.vault, self.officer("dpo-1"), subject_id, Wish("c.c. 2946", SOON, WHY, fields, **more))

    def approved(self, subject_id: str, *fields: str) -> str:
        hold_id = self.placed(subject_id, *fields).hold_id
        approve_hold(self.vault, self.officer("dpo-2"), hold_id)
        return hold_id

    def released(self, hold_id: str) -> Held:
        release_hold(self.vault, self.officer("dpo-1"), hold_id)
        return release_hold(self.vault, self.officer("dpo-2"), hold_id)

    def state(self, subject_id: str) -> str:
        ((found,),) = self.ledger.rows("vault.subject", f"subject_id = '{subject_id}'", "state")
        return str(found)


@pytest.fixture(scope="module")
def house(opened: Opened, shared_controllers: Controllers) -> House:
    found = House(opened, shared_controllers())
    register(opened.vault, found.controller_id, "dpo", "dsr-officer", "t2", "system")
    register_caller(opened.vault, found.controller_id, Registration("dpo-2", ("dpo",), recipient="controller"))
    register_caller(opened.vault, found.controller_id, Registration("zammad", ("system",), acts_for_agents=True))
    return found


def values(number: int) -> dict[str, Any]:
    return {"given_name": "Giulia", "email": f"held{number}@example.it", "mobile": f"+39 333 {number:07d}"}


def test_what_is_held_outlives_the_erasure_and_opens_for_nobody(house: House) -> None:
    """Seen failing with holds left out of the plan: everything was destroyed."""
    subject_id = house.person(values(1))
    hold_id = house.approved(subject_id, "email")
    done = house.erased(subject_id, "req_hold1")
    (kept,) = done.result["archived"]
    assert (done.result["outcome"], kept["fields"], kept["code"], kept["law"], kept["agreement_id"], kept["until"]) == (
        "partial", ["email"], "legal-claims", ["c.c. 2946"], hold_id, None,
    )  # fmt: skip
    assert house.ledger.rows("keys.data_key_wrap", f"subject_id = '{subject_id}'", "holder_kind, holder_id") == [("hold", hold_id)]
    with pytest.raises(Erased):
        disclose(house.vault, Ask(make_context(house.controller_id, "customer", subject_id=subject_id), subject_id, ("email",)))
    assert house.state(subject_id) == "archived"
    assert house.released(hold_id).state == "released"
    assert (house.left(subject_id), house.state(subject_id)) == ({}, "erased")


def test_a_proposal_holds_at_once_and_lapses(house: House) -> None:
    subject_id = house.person(values(2))
    hold_id = house.placed(subject_id).hold_id
    assert house.erased(subject_id, "req_hold2").result["outcome"] == "partial"
    assert end_holds(house.vault, house.controller_id) == 0
    later = replace(house, ahead=timedelta(hours=73))
    with pytest.raises(Conflict, match="hold-state"):
        approve_hold(later.vault, house.officer("dpo-2"), hold_id)
    assert end_holds(later.vault, house.controller_id) == 1
    assert house.left(subject_id) == {}
    assert house.ledger.rows("vault.legal_hold", f"hold_id = '{hold_id}'", "state") == [("lapsed",)]


def test_a_lapsed_proposal_holds_nothing_back(house: House) -> None:
    subject_id = house.person(values(3))
    house.placed(subject_id)
    later = replace(house, ahead=timedelta(hours=73))
    plan = plan_erasure(later.vault, house.dpo, subject_id).digest
    done = erase(later.vault, house.dpo, subject_id, Order("req_hold3", "dpo-1", "dpo-2", plan))
    assert (done.result["outcome"], house.left(subject_id)) == ("complete", {})
    end_holds(later.vault, house.controller_id)


def test_a_withdrawal_takes_the_agreement_and_leaves_the_key(house: House) -> None:
    subject_id = house.person(values(4))
    hold_id = house.approved(subject_id)
    own = make_context(house.controller_id, "customer", subject_id=subject_id)
    withdraw(house.vault, own, house.agreement(subject_id, "in_force"), {})
    assert {kind for (kind,) in house.ledger.rows("keys.data_key_wrap", f"subject_id = '{subject_id}'", "holder_kind")} == {"hold"}
    assert set(house.ledger.rows("keys.data_key", f"subject_id = '{subject_id}'", "state")) == {("archived",)}
    house.released(hold_id)
    assert house.ledger.rows("keys.data_key", f"subject_id = '{subject_id}'") == []


def test_a_hold_between_plan_and_erasure_counts(house: House) -> None:
    subject_id = house.person(values(5))
    order = house.order(subject_id, "req_hold5")
    hold_id = house.approved(subject_id)
    with pytest.raises(Conflict, match="plan-changed"):
        erase(house.vault, house.dpo, subject_id, order)
    house.released(hold_id)
    assert erase(house.vault, house.dpo, subject_id, order).result["outcome"] == "complete"
    with pytest.raises(Erased):
        house.placed(subject_id)


def test_a_hold_that_comes_while_one_is_erased_makes_that_stale(house: House) -> None:
    """Seen failing with the person's version left as it was: what was held was destroyed."""
    subject_id = house.person(values(6))
    order = house.order(subject_id, "req_hold6")
    placed: list[Held] = []

    vault, ledger = house.vault, copy(house.vault.ledger)

    def standing(controller_id: str, mark: Any) -> Any:
        if not placed:  # it is asked between reading and destroying
            placed.append(house.placed(subject_id))
        return vault.ledger.standing(controller_id, mark)

    ledger.standing = standing
    with pytest.raises(Stale):
        erase(replace(vault, ledger=ledger), house.dpo, subject_id, order)
    assert house.left(subject_id) != {}
    release_hold(house.vault, house.officer("dpo-2"), placed[0].hold_id)


def test_two_place_and_two_release(house: House) -> None:
    subject_id = house.person(values(7))
    hold_id = house.placed(subject_id).hold_id
    with pytest.raises(Conflict, match="same-person"):
        approve_hold(house.vault, house.officer("dpo-1"), hold_id)
    approve_hold(house.vault, house.officer("dpo-2"), hold_id)
    with pytest.raises(Conflict, match="hold-state"):
        approve_hold(house.vault, house.officer("dpo-2"), hold_id)
    assert release_hold(house.vault, house.officer("dpo-2"), hold_id).state == "releasing"
    with pytest.raises(Conflict, match="same-person"):
        release_hold(house.vault, house.officer("dpo-2"), hold_id)
    for column in ("approved_by = placed_by", "released_by = release_asked_by"):
        with pytest.raises(psycopg.errors.CheckViolation):
            house.ledger.owner(f"UPDATE vault.legal_hold SET {column} WHERE hold_id = '{hold_id}'")
    assert release_hold(house.vault, house.officer("dpo-1"), hold_id).state == "released"
    with pytest.raises(Conflict, match="hold-state"):
        release_hold(house.vault, house.officer("dpo-1"), hold_id)
    own = make_context(house.controller_id, "customer", subject_id=subject_id)
    assert disclose(house.vault, Ask(own, subject_id, ("email",))).fields["email"].value == values(7)["email"]


def test_holds_are_shown_with_why_and_a_missed_review_is_told(house: House) -> None:
    subject_id = house.person(values(8))
    hold_id = house.placed(subject_id, until=SOON + timedelta(days=1)).hold_id
    approve_hold(house.vault, house.officer("dpo-2"), hold_id)
    found, _ = show_holds(house.vault, house.dpo)
    (one,) = [one for one in found if one["hold_id"] == hold_id]
    assert (one["why"], one["review_missed"], one["approved_by"]) == (WHY, False, "dpo-2")
    ((kept,),) = house.ledger.rows("vault.legal_hold", f"hold_id = '{hold_id}'", "legal_hold::text")
    assert "Zanzibar" not in kept
    later = replace(house, ahead=timedelta(days=61))
    with capture_logs() as lines:
        end_holds(later.vault, house.controller_id)  # others of this house may end: theirs is another test
    assert "hold_review_missed" in {line["event"] for line in lines}
    assert house.ledger.rows("vault.legal_hold", f"hold_id = '{hold_id}'", "state") == [("approved",)]
    assert end_holds(replace(house, ahead=timedelta(days=63)).vault, house.controller_id) >= 1  # its day has come
    assert house.ledger.rows("vault.legal_hold", f"hold_id = '{hold_id}'", "state") != [("approved",)]


def test_nobody_else_holds_anything(house: House) -> None:
    subject_id = house.person(values(9))
    for role in ("dsr-officer", "t2", "system", "customer"):
        context = make_context(house.controller_id, role, subject_id=subject_id if role == "customer" else None)
        with pytest.raises((NotFound, AccessDenied)):
            place_hold(house.vault, context, subject_id, Wish("c.c. 2946", SOON, WHY))
        with pytest.raises((NotFound, AccessDenied)):
            show_holds(house.vault, context)
    spoken = replace(house.dpo, caller=replace(house.dpo.caller, actor="zammad"))
    with pytest.raises(AccessDenied, match="not-in-person"):
        place_hold(house.vault, spoken, subject_id, Wish("c.c. 2946", SOON, WHY))
    for act in (approve_hold, release_hold):
        with pytest.raises(NotFound):
            act(house.vault, house.dpo, "hld_" + "a" * 26)
    with pytest.raises(NotFound):
        house.placed("sub_" + "a" * 26)


def test_what_a_hold_lacks_is_named(house: House) -> None:
    wish = Wish(" ", SOON + timedelta(days=300), "short", ("shoe_size",), date(2020, 1, 1))
    with pytest.raises(InvalidValue) as refused:
        place_hold(house.vault, house.dpo, house.person(values(10)), wish)
    assert {one.pointer for one in refused.value.faults} == {"/law", "/review_at", "/why", "/fields", "/until"}
