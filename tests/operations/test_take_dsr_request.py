"""Requests that others send by OpenDSR: signed, or nobody reads them; and nobody learns by them who is a customer."""

import base64
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from hashlib import sha256
from itertools import count
from typing import Any

import orjson
import pytest

from tests.conftest import Controllers
from tests.makers import make_context, make_ticket, register
from tests.operations.test_requests import House
from tests.recipients.certificates import certificate, signature
from vault.errors import AccessDenied, Conflict, InvalidValue, NotFound, TooMany
from vault.opening import Opened
from vault.operations.callers import Registration, register_caller
from vault.operations.disclose import disclose
from vault.operations.disclosure import Ask
from vault.operations.move_request import Step, move_request
from vault.operations.notify_recipients import notify_recipients
from vault.operations.register_recipient import end_recipient, register_recipient
from vault.operations.restrict import restrict
from vault.operations.take_dsr_request import VERB, cancel_dsr_request, show_dsr_request, take_dsr_request
from vault.recipients.inbound import target
from vault.recipients.opendsr import request_id
from vault.recipients.register import Entry

DESK = "desk.example"
_ids = count(1)


@dataclass(frozen=True)
class Sent(House):
    """A controller that takes requests from `desk-d`."""

    def later(self, **by: float) -> "Sent":
        return replace(self, ahead=self.ahead + timedelta(**by))

    def body(self, *identities: tuple[str, str], kind: str = "erasure", asked_id: str | None = None, **other: Any) -> bytes:
        those = [{"identity_type": name, "identity_value": value, "identity_format": "raw"} for name, value in identities]
        return orjson.dumps({
            "regulation": "gdpr", "subject_request_id": asked_id or new_id(), "subject_request_type": kind,
            "submitted_time": "2026-10-19T08:00:00Z", "subject_identities": those, "api_version": "2.0", **other,
        })  # fmt: skip

    def sent(self, body: bytes, by: str = DESK, domain: str | None = DESK) -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads(take_dsr_request(self.vault, self.controller_id, domain, signature(body, by), body))
        return found

    def signed(self, method: str, asked_id: str, by: str = DESK) -> tuple[str, str, str, str, str]:
        at = int(self.vault.now().timestamp())
        address = f"https://{self.vault.settings.host}/opendsr/{self.controller_id}/requests/{asked_id}"
        return self.controller_id, asked_id, by, signature(target(method, address, at), by), str(at)

    def status(self, asked_id: str, by: str = DESK) -> str:
        found = orjson.loads(show_dsr_request(self.vault, *self.signed("GET", asked_id, by)))
        return str(found["request_status"])

    def cancelled(self, asked_id: str) -> None:
        cancel_dsr_request(self.vault, *self.signed("DELETE", asked_id))

    def of(self, subject_id: str) -> list[tuple[Any, ...]]:
        columns = "request_id, kind, state, level, channel, registered_by"
        return self.ledger.rows("vault.request", f"subject_id = '{subject_id}'", columns)

    def kept(self) -> tuple[Any, ...]:
        """Everything a refusal must leave as it was."""
        return tuple(len(self.ledger.rows(name)) for name in ("vault.dsr_request", "vault.request", "vault.event", "vault.budget"))


def new_id() -> str:
    return request_id(f"asked-{next(_ids)}")


@pytest.fixture(scope="module")
def house(opened: Opened, shared_controllers: Controllers) -> Sent:
    found = Sent(opened, shared_controllers())
    register(opened.vault, found.controller_id, "dpo", "dsr-officer", "t1", "system")
    for name, domain in (("desk-d", DESK), ("desk-e", "other.example")):
        entry = Entry(
            name, "helpdesk", "processor", "IT", contract="DPA 1", contract_from=opened.vault.now(), channel="opendsr",
            certificate=certificate(domain), endpoint=f"https://{domain}/v2",
        )  # fmt: skip
        register_recipient(opened.vault, found.controller_id, entry)
    return found


@pytest.mark.parametrize("kind", ["access", "erasure", "portability"])
def test_what_is_sent_becomes_a_request_that_waits_for_the_person(house: Sent, kind: str) -> None:
    subject_id = house.person(email=f"{kind}@example.it")
    before = len(house.ledger.outcomes(VERB))
    body = house.body(("email", f"{kind.title()}@example.it"), kind=kind)
    answer = house.sent(body)
    asked_id = orjson.loads(body)["subject_request_id"]
    assert base64.b64decode(answer["encoded_request"]) == body
    assert (answer["subject_request_id"], answer["controller_id"]) == (asked_id, house.controller_id)
    assert answer["expected_completion_time"] > answer["received_time"]
    ((made, *rest),) = house.of(subject_id)
    assert rest == [kind, "received", 0, "api", "desk-d"]
    assert house.ledger.outcomes(VERB)[before:] == ["done"]
    assert house.ledger.rows("vault.request_step", f"request_id = '{made}'", "verb, role") == [("receive", "system")]
    with pytest.raises(Conflict, match="request-state"):  # its sender's word proves nobody
        move_request(house.vault, house.officer(), made, Step("accept", plan="00" * 32 if kind == "erasure" else None))


def test_who_is_nobody_is_answered_as_somebody_is(house: Sent) -> None:
    house.person(email="somebody@example.it")
    those = [house.body(("email", f"{name}body@example.it")) for name in ("some", "none", "no such thing: ")]
    answers = [house.sent(body) for body in those]
    plain = [{**one, "encoded_request": 0, "subject_request_id": 0, "received_time": 0} for one in answers]
    assert plain[0] == plain[1] == plain[2]
    assert answers[0].keys() == answers[1].keys()
    ids = [one["subject_request_id"] for one in answers]
    assert [house.status(one) for one in ids] == ["pending"] * 3
    late = house.later(days=60)
    assert [late.status(one) for one in ids] == ["cancelled"] * 3
    for one in ids:
        house.cancelled(one)
        house.cancelled(one)  # again changes nothing
    assert [house.status(one) for one in ids] == ["cancelled"] * 3


def test_identities_are_all_of_one_person_or_of_nobody(house: Sent) -> None:
    first, second = house.person(email="first@example.it"), house.person(email="second@example.it")
    register_caller(house.opened.vault, house.controller_id, Registration("desk-system", ("system",), recipient="desk-d"))
    context = make_context(house.controller_id, "system", channel="api")
    context = replace(context, caller=replace(context.caller, id="desk-system"))
    token = disclose(house.opened.vault, Ask(context, first, ("email",))).fields["email"]
    assert token.state == "token"
    handle = ("controller_customer_id", str(token.value))
    twins = [house.person(email="twins@example.it") for _ in "ab"]
    house.sent(house.body(handle, ("email", "second@example.it")))
    house.sent(house.body(handle, ("email", "nobody-at-all@example.it")))
    house.sent(house.body(("email", "twins@example.it")))
    assert [house.of(one) for one in (first, second, *twins)] == [[]] * 4
    house.sent(house.body(handle, ("email", "first@example.it")))
    house.sent(house.body(handle, kind="access"))
    assert [one[1] for one in house.of(first)] in (["erasure", "access"], ["access", "erasure"])
    body = house.body(handle)  # another recipient's handle names nobody
    house.sent(body, "other.example", "other.example")
    assert len(house.of(first)) == 2


def test_once_a_person_is_verified_its_sender_sees_where_it_stands(house: Sent) -> None:
    subject_id = house.person(email="verified@example.it")
    asked_id = house.sent(house.body(("email", "verified@example.it"), kind="access"))["subject_request_id"]
    ((made, *_),) = house.of(subject_id)
    move = partial(move_request, house.vault, house.officer(), made)
    move(Step("verify", "in filiale, documento visto", level=3, method="in-branch"))
    assert house.status(asked_id) == "pending"
    assert house.later(days=60).status(asked_id) == "pending"
    move(Step("accept", "accolta in data odierna"))
    assert house.status(asked_id) == "in_progress"
    with pytest.raises(Conflict, match="request-state"):
        house.cancelled(asked_id)
    assert house.of(subject_id)[0][2] == "accepted"


def test_what_is_taken_back_is_withdrawn(house: Sent) -> None:
    subject_id = house.person(email="back@example.it")
    asked_id = house.sent(house.body(("email", "back@example.it")))["subject_request_id"]
    house.cancelled(asked_id)
    assert house.of(subject_id)[0][2] == "withdrawn"
    for other in (new_id(), asked_id):
        with pytest.raises(NotFound):
            house.status(other, "other.example")


def test_the_same_bytes_are_answered_as_they_were_and_others_are_a_conflict(house: Sent) -> None:
    subject_id = house.person(email="again@example.it")
    body = house.body(("email", "again@example.it"))
    first, kept = house.sent(body), house.kept()
    assert house.later(hours=2).sent(body) == first
    with pytest.raises(Conflict, match="subject-request-id"):
        house.sent(body.replace(b"again", b"other"))
    assert (len(house.of(subject_id)), house.kept()) == (1, kept)
    house.sent(body, "other.example", "other.example")  # another sender's ids are its own
    assert len(house.of(subject_id)) == 2


def test_the_same_bytes_at_once_are_put_down_once_and_answered_alike(house: Sent) -> None:
    subject_id, kept = house.person(email="twice@example.it"), house.kept()
    body = house.body(("email", "twice@example.it"))
    with ThreadPoolExecutor(4) as several:
        answers = list(several.map(lambda _: house.sent(body), range(4)))
    assert answers == [house.sent(body)] * 4
    assert (len(house.of(subject_id)), house.kept()[0]) == (1, kept[0] + 1)


def test_by_what_one_sender_was_told_of_somebody_another_names_nobody(house: Sent) -> None:
    subject_id = house.person(email="told@example.it")
    register_caller(house.opened.vault, house.controller_id, Registration("agent-d", ("t1",), recipient="desk-d"))
    ticket = make_ticket(house.opened.vault, house.controller_id, subject_id, "t1", "T-told", assignee="agent-d")
    context = make_context(house.controller_id, "t1", ticket=ticket)
    disclose(house.opened.vault, Ask(replace(context, caller=replace(context.caller, id="agent-d")), subject_id, ("email",)))
    restrict(house.vault, house.dpo(), subject_id, "unlawful")
    house.opened.trail.settle(house.controller_id)
    notify_recipients(house.vault, house.controller_id)
    ((handle,),) = house.ledger.rows("vault.recipient_task", f"subject_id = '{subject_id}'", "handle")
    body = house.body(("controller_customer_id", handle))
    house.sent(body, "other.example", "other.example")
    assert house.of(subject_id) == []
    house.sent(body)
    assert len(house.of(subject_id)) == 1


FORGED: dict[str, dict[str, Any]] = {
    "no signature": {"signature": None},
    "no domain": {"domain": None},
    "another's domain": {"domain": "other.example"},
    "another's key": {"by": "other.example"},
    "nobody's domain": {"domain": "evil.example", "by": "evil.example"},
    "no base64": {"signature": "é?"},
    "other bytes": {"body": b"[" * 60_000},
    "another company": {"controller_id": "ctl-there-is-not"},
}


@pytest.mark.parametrize("forged", FORGED)
def test_what_is_not_signed_is_refused_alike_before_a_byte_is_parsed(
    house: Sent, forged: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    body, other = house.body(("email", "forged@example.it")), dict(FORGED[forged])
    said = {"controller_id": house.controller_id, "domain": DESK, "signature": signature(body, other.pop("by", DESK)), "body": body}
    monkeypatch.setattr("vault.recipients.inbound.read_request", lambda _: pytest.fail("parsed"))
    kept, entries = house.kept(), len(house.ledger.leaves(VERB))
    with pytest.raises(AccessDenied, match="signature"):
        take_dsr_request(house.vault, **{**said, **other})
    assert (house.kept(), len(house.ledger.leaves(VERB))) == (kept, entries)


def test_a_question_is_signed_for_its_place_and_moment(house: Sent) -> None:
    asked_id = house.sent(house.body(("email", "question@example.it")))["subject_request_id"]
    of, named, domain, held, at = house.signed("GET", asked_id)
    hour_ago = house.later(hours=-1).signed("GET", asked_id)
    wrong: list[tuple[Any, ...]] = [
        (of, named, domain, None, at), (of, named, domain, held, None), (of, named, domain, held, str(int(at) + 1)),
        (of, new_id(), domain, held, at), (of, named, "other.example", held, at), hour_ago,
    ]  # fmt: skip
    for one in wrong:
        with pytest.raises(AccessDenied, match="signature"):
            show_dsr_request(house.vault, *one)
    with pytest.raises(AccessDenied, match="signature"):  # who may ask has not cancelled
        cancel_dsr_request(house.vault, of, named, domain, held, at)
    assert house.status(asked_id) == "pending"


@pytest.mark.parametrize("wrong", [{"regulation": "ccpa"}, {"kind": "rectification"}, {"asked_id": "x"}, {"submitted_time": 1}])
def test_what_is_signed_and_no_request_leaves_nothing(house: Sent, wrong: dict[str, Any]) -> None:
    kept = house.kept()
    with pytest.raises(InvalidValue):
        house.sent(house.body(("email", "wrong@example.it"), **wrong))
    assert house.kept() == kept


def test_who_ended_sends_nothing_any_more(opened: Opened, house: Sent) -> None:
    name, domain = "desk-f", "ended.example"
    entry = Entry(
        name, "helpdesk", "processor", "IT", contract="DPA 1", contract_from=opened.vault.now(), channel="opendsr",
        certificate=certificate(domain), endpoint=f"https://{domain}/v2",
    )  # fmt: skip
    register_recipient(opened.vault, house.controller_id, entry)
    house.sent(house.body(("email", "ended@example.it")), domain, domain)
    end_recipient(opened.vault, house.controller_id, name)
    with pytest.raises(AccessDenied, match="signature"):
        house.sent(house.body(("email", "ended@example.it")), domain, domain)


def test_a_sender_has_a_budget(house: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vault.operations.take_dsr_request._AN_HOUR", 0)
    kept = house.kept()[:2]
    with pytest.raises(TooMany):
        house.sent(house.body(("email", "budget@example.it")))
    assert house.kept()[:2] == kept


def test_nothing_of_a_body_is_stored_in_clear(house: Sent) -> None:
    body = house.body(("email", "clear@example.it"))
    house.sent(body)
    digests = {bytes(one) for (one,) in house.ledger.rows("vault.dsr_request", "true", "digest")}
    assert sha256(body).digest() not in digests
    assert "clear@" not in repr(house.ledger.rows("vault.dsr_request"))
