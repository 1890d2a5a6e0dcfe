"""Retention: what nothing keeps any more goes by itself, nothing else does, and what is out of proportion waits for somebody."""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import orjson
import pytest
from structlog.testing import capture_logs

from tests.makers import make_context, make_subject, register, terms
from tests.operations.conftest import Ledger
from vault.assembly import Vault
from vault.erasure.ledger import Line
from vault.errors import AccessDenied, Conflict, LedgerUnavailable, NotFound
from vault.notes import split_note
from vault.opening import Opened
from vault.operations.agree import agree
from vault.operations.erase import Order, erase, plan_erasure
from vault.operations.hold import Wish, place_hold
from vault.operations.open_request import Asked, open_request
from vault.operations.restrict import restrict
from vault.operations.retain import approve_retention, find_over, preview_retention, run_retention, told
from vault.operations.show_certificates import show_certificate, show_certificates
from vault.operations.withdraw import withdraw
from vault.policy.model import Context

DAY = timedelta(days=1)
YEARS = 3652 * DAY  # ten years and not quite a day


@dataclass(frozen=True)
class House:
    """A controller with so many people that nobody's end is out of proportion."""

    opened: Opened
    controller_id: str
    ahead: timedelta = timedelta(0)

    @property
    def vault(self) -> Vault:
        now, ahead = self.opened.vault.now, self.ahead
        return replace(self.opened.vault, now=lambda: now() + ahead)

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.opened, self.controller_id)

    @property
    def dpo(self) -> Context:
        return make_context(self.controller_id, "dpo", purpose="legal-compliance")

    def later(self, ahead: timedelta) -> "House":
        return replace(self, ahead=ahead)

    def person(self, *agreed: str, **more: str) -> str:
        values = {"given_name": "Giulia", "email": f"{self.vault.new_id('gc')}@example.it", **more}
        return make_subject(self.opened.vault, self.controller_id, values, agreed or ("retail",)).subject_id

    def ended(self, subject_id: str, *templates: str) -> None:
        for template in templates or ("retail",):
            ((agreement_id,),) = self.ledger.rows(
                "vault.agreement_state", f"subject_id = '{subject_id}' AND template = '{template}@1'", "agreement_id"
            )
            withdraw(self.opened.vault, make_context(self.controller_id, "system"), agreement_id, {})

    def run(self) -> int:
        return run_retention(self.vault, self.controller_id)

    def preview(self) -> dict[str, Any]:
        return preview_retention(self.vault, self.dpo)[0]

    def state(self, subject_id: str) -> str:
        ((state,),) = self.ledger.rows("vault.subject", f"subject_id = '{subject_id}'", "state")
        return str(state)

    def keys(self, subject_id: str) -> int:
        return len(self.ledger.rows("keys.data_key", f"subject_id = '{subject_id}'"))

    def lines(self) -> list[Line]:
        return [one for one in self.vault.ledger.lines() if one.said.controller_id == self.controller_id]

    def certificate(self, subject_id: str) -> dict[str, Any]:
        ((erasure_id,),) = self.ledger.rows("vault.erasure", f"subject_id = '{subject_id}'", "erasure_id")
        ((note,),) = self.ledger.rows("vault.certificate", f"erasure_id = '{erasure_id}'", "note")
        return dict(orjson.loads(split_note(bytes(note).decode())[0]))


@pytest.fixture
def house(opened: Opened, controller_id: str) -> House:
    found = House(opened, controller_id)
    register(opened.vault, controller_id, "dpo", "system", "dsr-officer", "t2")
    for _ in range(40):
        found.person("marketing")
    return found


def test_what_no_duty_keeps_ends_with_its_agreement(house: House) -> None:
    subject_id = house.person("marketing")
    assert house.preview()["due"] == 0
    house.ended(subject_id, "marketing")
    told = house.preview()
    assert (told["due"], told["whole"], told["late"]) == (1, 1, 0)
    assert house.later(3 * DAY).preview()["late"] == 1
    assert house.run() == told["due"]
    assert house.state(subject_id) == "erased"
    assert [one.said.op for one in house.lines()[-2:]] == ["intent", "live"]
    assert house.certificate(subject_id)["state"] == "erased-live"
    (listed,), more, _ = show_certificates(house.vault, house.dpo)
    assert (listed["subject_id"], listed["stage"], listed["request_id"], more) == (subject_id, "live", None, False)
    note, _ = show_certificate(house.vault, house.dpo, listed["certificate_id"])
    assert orjson.loads(split_note(note.decode())[0]) == house.certificate(subject_id)
    with pytest.raises(NotFound):
        show_certificate(house.vault, house.dpo, "crt_" + "a" * 26)
    for act in (show_certificates, lambda vault, context: show_certificate(vault, context, listed["certificate_id"])):
        with pytest.raises(AccessDenied):
            act(house.vault, make_context(house.controller_id, "t2"))
    assert house.ledger.rows("vault.erasure", f"subject_id = '{subject_id}'", "accepted_by, approved_by") == [(None, None)]
    assert house.run() == 0
    assert (house.preview()["due"], house.preview()["last"]["removed"]) == (0, 1)


def test_a_duty_keeps_to_its_last_day_and_then_everything_goes_with_a_certificate(house: House) -> None:
    """Seen failing with the duty counted from the run instead of from the agreement's end: it never went."""
    subject_id = house.person()
    house.ended(subject_id)
    assert (house.run(), house.keys(subject_id), house.state(subject_id)) == (0, 1, "active")
    (rule,) = [one for one in house.preview()["rules"] if one["template"] == "legal-obligation@1"]
    assert (rule["kept"], rule["due"], rule["law"]) == (1, 0, "c.c. 2220")
    assert house.later(YEARS - 3 * DAY).run() == 0
    late = house.later(YEARS + 3 * DAY)
    assert late.preview()["due"] == 1
    assert late.run() == 1
    assert (house.keys(subject_id), house.state(subject_id)) == (0, "erased")
    said = late.certificate(subject_id)
    assert {name for one in said["erased"] for name in one["fields"]} == {"given_name", "email"}
    assert said["archived"] == []


def test_one_agreement_in_force_keeps_its_own_and_not_what_was_only_another_ones(house: House) -> None:
    subject_id = house.person("retail", "marketing", iban="IT60X0542811101000000123456")
    house.ended(subject_id, "retail")
    assert house.keys(subject_id) == 2
    late = house.later(YEARS + 3 * DAY)
    due = [one for one in find_over(late.vault, house.controller_id).due if one[0] == subject_id]
    assert [what.whole for _, what in due] == [False]
    assert late.run() == 1
    assert house.state(subject_id) == "active"
    assert house.ledger.rows("keys.data_key", f"subject_id = '{subject_id}'", "class, state") == [("contact", "current")]
    assert {kind for (kind,) in house.ledger.rows("keys.data_key_wrap", f"subject_id = '{subject_id}'", "holder_kind")} == {
        "agreement"
    }


@pytest.mark.parametrize("block", ["legal-hold", "restricted", "request-open"])
def test_what_somebody_needs_waits(house: House, block: str) -> None:
    """Seen failing with the blocks left out of the verdict."""
    subject_id = house.person("marketing")
    if block == "legal-hold":
        soon = (house.vault.now() + 30 * DAY).date()
        place_hold(house.vault, house.dpo, subject_id, Wish("c.c. 2946", soon, "causa pendente davanti al tribunale"))
    elif block == "restricted":
        restrict(
            house.vault, make_context(house.controller_id, "dpo", purpose="rights-fulfilment"), subject_id, "claims", ["email"]
        )
    else:
        own = make_context(house.controller_id, "customer", subject_id=subject_id, purpose="rights-fulfilment", channel="portal")
        open_request(house.vault, own, subject_id, Asked("access", []))
    house.ended(subject_id, "marketing")
    told = house.preview()
    assert (told["due"], told["blocked"]) == (0, {block: 1})
    assert house.run() == 0
    assert house.state(subject_id) in ("active", "restricted")


def test_what_is_out_of_proportion_waits_until_exactly_it_is_approved(house: House) -> None:
    """Seen failing without the comparison of digests: what was approved was another run."""
    people = [house.person("marketing") for _ in range(4)]
    for one in people[:3]:
        house.ended(one, "marketing")
    with capture_logs() as logs:
        assert (house.run(), house.run()) == (0, 0)
    assert [one["event"] for one in logs] == ["retention_waits"]
    assert len(house.ledger.rows("vault.event", "name = 'retention:waiting'")) == 1
    told = house.preview()
    assert (told["due"], told["waits"]) == (3, True)
    for wrong in ("dsr-officer", "t2", "system"):
        with pytest.raises(AccessDenied):
            approve_retention(house.vault, make_context(house.controller_id, wrong, purpose="legal-compliance"), told["digest"])
    house.ended(people[3], "marketing")
    with pytest.raises(Conflict, match="plan-changed"):
        approve_retention(house.vault, house.dpo, told["digest"])
    assert house.run() == 0
    approve_retention(house.vault, house.dpo, house.preview()["digest"])
    assert house.preview()["waits"] is False
    assert house.run() == 4
    assert {house.state(one) for one in people} == {"erased"}
    runs = house.ledger.rows("vault.retention_run", columns="state, due, removed, approved_by")
    assert sorted(runs) == [("done", 4, 4, "dpo-1"), ("dropped", 3, 0, None)]


def test_a_template_that_is_retired_ends_nothing_early(house: House) -> None:
    """Seen failing with the duty counted from its own beginning, and the duty's template alone asked for."""
    subject_id = house.person()
    house.ended(subject_id)
    late = house.later(YEARS + 3 * DAY)
    kept = {name: one for name, one in late.vault.templates.items() if name != "retail@1"}
    retired = replace(late.vault, templates=kept)
    assert run_retention(retired, house.controller_id) == 0
    assert told(find_over(retired, house.controller_id))["blocked"] == {}  # nothing is over
    assert house.keys(subject_id) == 1
    other = house.person("marketing")
    house.ended(other, "marketing")
    unknown = replace(house.vault, templates={name: one for name, one in kept.items() if name != "marketing@1"})
    assert told(find_over(unknown, house.controller_id))["blocked"] == {"template-unknown": 1}


@pytest.mark.parametrize("template", ["marketing", "retail"])
def test_who_agrees_anew_before_it_is_their_turn_stays(house: House, monkeypatch: pytest.MonkeyPatch, template: str) -> None:
    """Seen failing without the second look: somebody who had just agreed anew was erased."""
    more = {"iban": "IT60X0542811101000000123456"} if template == "retail" else {}
    subject_id = house.person(*({"retail", "marketing", template}), **more)
    house.ended(subject_id, template)
    if template == "marketing":
        house.ended(subject_id, "retail")
    late = house.later(YEARS + 3 * DAY)
    judged = find_over(late.vault, house.controller_id)
    assert [one for one, _ in judged.due] == [subject_id]
    system = make_context(house.controller_id, "system", channel="phone")
    if template == "marketing":
        agree(late.vault, system, subject_id, terms("marketing", indicated_at=late.vault.now().isoformat()))
    else:
        restrict(late.vault, make_context(house.controller_id, "dpo", purpose="rights-fulfilment"), subject_id, "claims", ["email"])
    monkeypatch.setattr("vault.operations.retain.find_over", lambda *_: judged)
    before = house.ledger.rows("keys.data_key_wrap", f"subject_id = '{subject_id}'", "holder_id")
    assert late.run() == 0
    assert house.state(subject_id) != "erased"
    assert house.ledger.rows("keys.data_key_wrap", f"subject_id = '{subject_id}'", "holder_id") == before


def test_runs_that_wait_do_not_push_out_those_that_twice_is_counted_by(house: House) -> None:
    """Seen failing with both in one list of eleven: on the third night with another digest twice as many no longer waited."""
    for _ in range(70):
        house.person("marketing")
    columns = "controller_id, run_id, at, state, people, due, removed, digest, rules, entry_id"
    done = f"SELECT '{house.controller_id}', 'run_' || n, now() - n * interval '1 day', 'done', 100, 1, 1, '\\x00', '[]', 'ent'"
    house.ledger.owner(f"INSERT INTO vault.retention_run ({columns}) {done} FROM generate_series(1, 10) n")
    for night in range(3):
        for _ in range(1 if night else 3):
            one = house.person("marketing")
            house.ended(one, "marketing")
        told = house.preview()
        assert told["due"] * 20 <= told["people"]  # not by the other bound
        assert (house.run(), house.preview()["waits"], told["last"]["removed"]) == (0, True, 1)


def test_one_that_cannot_be_removed_keeps_nobody_else(house: House) -> None:
    first, second = (house.person("marketing") for _ in range(2))
    for one in (first, second):
        house.ended(one, "marketing")

    class Once:
        failed = False

        def __getattr__(self, name: str) -> Any:
            return getattr(house.opened.vault.ledger, name)

        def append(self, said: Any) -> Any:
            if not self.failed:
                self.failed = True
                raise LedgerUnavailable
            return house.opened.vault.ledger.append(said)

    failing = replace(house.vault, ledger=Once())
    assert run_retention(failing, house.controller_id) == 1
    assert sorted(house.state(one) for one in (first, second)) == ["active", "erased"]
    assert house.run() == 1


def test_an_erasure_keeps_no_longer_than_the_law_asks(house: House) -> None:
    subject_id = house.person()
    house.ended(subject_id)
    late = house.later(timedelta(days=365))
    officer = make_context(house.controller_id, "dpo", purpose="rights-fulfilment")
    plan = plan_erasure(late.vault, officer, subject_id)
    done = erase(late.vault, officer, subject_id, Order("req_late", "dpo-1", "dpo-2", plan.digest))
    ends = (house.vault.now() + YEARS).date()
    assert {abs((ends - type(ends).fromisoformat(one["until"])).days) <= 2 for one in done.result["archived"]} == {True}
