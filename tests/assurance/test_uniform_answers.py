"""Who has no right to a person cannot tell whether the person is there: same answer, same work, and both on record.

Compared are status, members, header names, length, and the statements sent to the database, text by text. Only ids differ.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx2
import psycopg
import pytest

from tests.assurance.desk import NOBODY, Desk
from tests.assurance.statements import watched
from tests.makers import evidence, make_subject
from vault.audit.reading import ReadEntry
from vault.connectors.demo_issuer import IDENTITIES

GROUND = {"given_name": "Giulia", "email": "giulia.bianchi@example.it", "mobile": "+39 333 1234567"}
HERE, MISSING, FOREIGN = "here", "missing", "foreign"
IDS = ("instance", "decision_id", "entry_id")


@dataclass(frozen=True)
class Seen:
    """One answer, what it took, and the entry it left."""

    answer: httpx2.Response
    statements: tuple[str, ...]
    entry: ReadEntry

    @property
    def told(self) -> tuple[Any, ...]:
        """What a caller can see but for the ids."""
        body = {name: value for name, value in self.answer.json().items() if name not in IDS}
        headers = [name for name, _ in self.answer.headers.raw]
        return self.answer.status_code, body, set(self.answer.json()), headers, len(self.answer.content)


@dataclass(frozen=True)
class House:
    """A desk and three people: one here who agreed to marketing and nothing else, nobody, one of another company."""

    desk: Desk
    subjects: Mapping[str, str]
    agreements: Mapping[str, str]
    elsewhere: str  # the other company

    def ask(self, monkeypatch: pytest.MonkeyPatch, act: Callable[[str], httpx2.Response]) -> dict[str, Seen]:
        """Do one thing about each of the three: once to warm what is warmed once, then watched."""
        seen = {}
        for which in self.subjects:
            act(which)
        for which in self.subjects:
            for _ in range(3):
                with watched(monkeypatch) as statements:
                    answer = act(which)
                if "riserbo_era" not in statements:  # a lane that has not written yet opens its writer first, about whomever it is
                    break
            seen[which] = Seen(answer, tuple(statements), self.desk.entry_of(answer))
        return seen


@pytest.fixture(scope="module")
def house(shared_desk: Desk, opened: Any, issuer: Any, client: Any, shared_controllers: Callable[[], str]) -> House:
    elsewhere = shared_controllers()
    here = make_subject(shared_desk.vault, shared_desk.controller_id, GROUND, ("marketing",))
    foreign = make_subject(shared_desk.vault, elsewhere, GROUND, ("marketing",))
    return House(
        shared_desk,
        {HERE: here.subject_id, MISSING: NOBODY, FOREIGN: foreign.subject_id},
        {HERE: here.agreements[0], MISSING: "agr_" + "z" * 26, FOREIGN: foreign.agreements[0]},
        elsewhere,
    )


def assert_alike(seen: Mapping[str, Seen], least: int = 2) -> None:
    assert len({repr(one.told) for one in seen.values()}) == 1, {which: one.told for which, one in seen.items()}
    here = seen[HERE]
    assert len(here.statements) >= least  # one to read, one to record; the disclosing statement goes past the watch
    assert {one.statements for one in seen.values()} == {here.statements}
    assert all(one.entry.leaf.keys() | {"subject"} == here.entry.leaf.keys() for one in seen.values())
    assert {one.entry.leaf["outcome"] for one in seen.values()} == {"refused"}
    assert all(one.entry.leaf.get("fields") == here.entry.leaf.get("fields") for one in seen.values())


def assert_on_record(house: House, seen: Mapping[str, Seen], *, asked: bool = True) -> None:
    """The refusal of somebody who is here is in their own chain; of the others only officers see whom it was about."""
    assert seen[HERE].entry.subject_id == house.subjects[HERE]
    for which in (MISSING, FOREIGN):
        assert seen[which].entry.subject_id is None
        assert not asked or seen[which].entry.internal["asked"] == house.subjects[which]


# --- profiles


@pytest.mark.parametrize("role", ["t1", "t2", "billing", "medical", "dpo", "operator", "dsr-officer", "system"])
def test_a_profile_one_may_not_see_is_as_missing(house: House, monkeypatch: pytest.MonkeyPatch, role: str) -> None:
    def act(which: str) -> httpx2.Response:
        return house.desk.profile(role, house.subjects[which], "email", "given_name", "iban", ticket="TCK-asserted")

    seen = house.ask(monkeypatch, act)
    assert seen[HERE].answer.status_code == 404
    assert_alike(seen)
    assert_on_record(house, seen)


def test_a_profile_of_somebody_else_is_as_missing_to_a_customer(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    me = make_subject(house.desk.vault, house.desk.controller_id, GROUND, ("marketing",)).subject_id

    def act(which: str) -> httpx2.Response:
        path = f"/v1/subjects/{house.subjects[which]}/profile"
        return house.desk.call("GET", path, "customer", subject_id=me)

    seen = house.ask(monkeypatch, act)
    assert seen[HERE].answer.status_code == 404
    assert_alike(seen)
    assert_on_record(house, seen)


@pytest.mark.parametrize("who", ["customer", "gone"])
@pytest.mark.parametrize("path", ["profile?fields=email,iban", "profile", "agreements"])
def test_a_real_ticket_is_nothing_to_a_stranger(house: House, monkeypatch: pytest.MonkeyPatch, who: str, path: str) -> None:
    """Ticket numbers are no secret: stating one makes no agent of another customer, nor of somebody no longer registered."""
    desk, name = house.desk, "TCK-really"
    desk.ticket(house.subjects[HERE], "t1", name, assignee="demo-gone")
    me = make_subject(desk.vault, desk.controller_id, GROUND, ("marketing",)).subject_id
    stated = desk.headers("customer", me, ticket=name) if who == "customer" else desk.signed_on("demo-gone", "t1", ticket=name)
    seen = house.ask(monkeypatch, lambda which: desk.client.get(f"/v1/subjects/{house.subjects[which]}/{path}", headers=stated))
    assert seen[HERE].answer.status_code == 404
    assert_alike(seen)


@pytest.mark.parametrize(("role", "topic"), [("t1", None), ("dsr-officer", "request")])
def test_a_ticket_about_nobody_is_none(house: House, role: str, topic: str | None) -> None:
    """A helpdesk may name somebody who is not here, or no longer: that is missing, not spoilt, and no alarm."""
    ticket = house.desk.ticket(NOBODY, role, f"TCK-nobody-{role}", topic=topic)
    answer = house.desk.profile(role, NOBODY, "email", ticket=ticket)
    assert answer.status_code == 404
    assert house.desk.entry_of(answer).leaf["outcome"] == "refused"
    question = {"subject": {"type": "agent", "id": IDENTITIES[role].caller_id}, "action": {"name": "view"}}
    question |= {"resource": {"type": "field", "id": f"{NOBODY}/email"}}
    question |= {"context": {"purpose": IDENTITIES[role].purpose, "channel": "phone", "ticket": ticket}}
    assert house.desk.call("POST", "/access/v1/evaluation", role, question).status_code == 404


def test_the_role_s_default_fields_tell_nothing_either(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = house.ask(monkeypatch, lambda which: house.desk.profile("t1", house.subjects[which], ticket="TCK-asserted"))
    assert_alike(seen)
    assert_on_record(house, seen)


# --- tickets that are known, and do not serve: a reason is told, and it is the same whoever is asked about


@pytest.fixture(scope="module")
def tickets(house: House) -> Mapping[str, str]:
    """Tickets of the second tier and of somebody else, by the reason they are refused with."""
    desk, here = house.desk, house.subjects[HERE]
    other = make_subject(desk.vault, desk.controller_id, GROUND, ("marketing",)).subject_id
    return {
        "ticket-closed": desk.ticket(here, "t2", "TCK-closed", state="closed"),
        "ticket-of-another-person": desk.ticket(other, "t2", "TCK-of-another"),
        "ticket-not-yours": desk.ticket(here, "billing", "TCK-not-mine"),
    }


@pytest.mark.parametrize("reason", ["ticket-closed", "ticket-of-another-person", "ticket-not-yours"])
@pytest.mark.parametrize("verb", ["profile", "reveals", "verifications", "fields", "agreements", "evaluation"])
def test_a_refused_ticket_tells_nothing_of_the_person(
    house: House, tickets: Mapping[str, str], monkeypatch: pytest.MonkeyPatch, verb: str, reason: str
) -> None:
    desk, ticket = house.desk, tickets[reason]

    def act(which: str) -> httpx2.Response:
        path = f"/v1/subjects/{house.subjects[which]}"
        bodies: dict[str, tuple[str, str, Any]] = {
            "profile": ("GET", f"{path}/profile", None),
            "reveals": ("POST", f"{path}/reveals", {"fields": ["email"], "reason": "CALLBACK"}),
            "verifications": ("POST", f"{path}/verifications", {"field": "email", "value": GROUND["email"]}),
            "fields": ("PATCH", f"{path}/fields", {"agreement_id": house.agreements[which], "fields": {"email": "x@example.it"}}),
            "agreements": ("GET", f"{path}/agreements", None),
            "evaluation": ("POST", "/access/v1/evaluation", {
                "subject": {"type": "agent", "id": IDENTITIES["t2"].caller_id}, "action": {"name": "verify"},
                "resource": {"type": "field", "id": f"{house.subjects[which]}/email"},
                "context": {"purpose": "customer-care", "channel": "phone", "ticket": ticket},
            }),
        }  # fmt: skip
        method, where, body = bodies[verb]
        return desk.call(method, where, "t2", body, ticket=ticket, if_match='"1"')

    seen = house.ask(monkeypatch, act)
    assert (seen[HERE].answer.status_code, seen[HERE].answer.json()["type"].rpartition("/")[2]) == (403, reason)
    assert_alike(seen)
    assert_on_record(house, seen, asked=False)


# --- verbs


@pytest.mark.parametrize("role", ["t1", "t2", "billing", "dpo", "operator", "system"])
@pytest.mark.parametrize(
    "fields",
    [
        {"preferred_language": "en"},
        {"email": "x@example.it"},
        {"no_such_field": "x"},
        {"email": "not an address"},
        {"health_note": None},
    ],
    ids=["language", "email", "unknown-field", "invalid-value", "removal"],
)
def test_values_one_may_not_change_are_as_missing(
    house: House, monkeypatch: pytest.MonkeyPatch, role: str, fields: Mapping[str, Any]
) -> None:
    def act(which: str) -> httpx2.Response:
        body = {"agreement_id": house.agreements[which], "fields": fields}
        return house.desk.call(
            "PATCH", f"/v1/subjects/{house.subjects[which]}/fields", role, body, ticket="TCK-asserted", if_match='"1"'
        )

    seen = house.ask(monkeypatch, act)
    assert seen[HERE].answer.status_code == 404, seen[HERE].answer.text
    assert_alike(seen)
    assert_on_record(house, seen, asked=False)


@pytest.mark.parametrize("role", ["t1", "t2", "billing", "dpo", "operator", "dsr-officer", "system"])
def test_a_reveal_one_may_not_have_is_as_missing(house: House, monkeypatch: pytest.MonkeyPatch, role: str) -> None:
    def act(which: str) -> httpx2.Response:
        body = {"fields": ["email", "given_name"], "reason": "CALLBACK"}
        return house.desk.call("POST", f"/v1/subjects/{house.subjects[which]}/reveals", role, body, ticket="TCK-asserted")

    seen = house.ask(monkeypatch, act)
    assert seen[HERE].answer.status_code == 404, seen[HERE].answer.text
    assert_alike(seen)
    assert_on_record(house, seen, asked=False)


@pytest.mark.parametrize("role", ["t1", "t2", "billing", "medical", "dpo", "operator", "dsr-officer", "system"])
@pytest.mark.parametrize("field", ["email", "iban", "no_such_field"])
def test_a_check_one_may_not_make_is_as_missing(house: House, monkeypatch: pytest.MonkeyPatch, role: str, field: str) -> None:
    def act(which: str) -> httpx2.Response:
        body = {"field": field, "value": GROUND["email"]}
        return house.desk.call("POST", f"/v1/subjects/{house.subjects[which]}/verifications", role, body, ticket="TCK-asserted")

    seen = house.ask(monkeypatch, act)
    assert seen[HERE].answer.status_code == 404, seen[HERE].answer.text
    assert_alike(seen)
    assert_on_record(house, seen, asked=False)


@pytest.mark.parametrize("role", ["t1", "t2", "demo-lead", "dpo", "dsr-officer", "system"])
def test_a_grant_one_may_not_open_is_as_missing(house: House, monkeypatch: pytest.MonkeyPatch, role: str) -> None:
    """Nor may who is eligible: without an agreement for the purpose there is nothing to open."""
    desk, body = house.desk, {"fields": ["email"], "reason": "FRAUD_IN_PROGRESS", "justification": "la truffa sembra in corso"}
    said = {"ticket": "TCK-asserted", "purpose": "fraud-prevention"}

    def act(which: str) -> httpx2.Response:
        headers = desk.lead(role, "TCK-asserted") if role == "demo-lead" else desk.headers(role, **said)
        return desk.client.post(f"/v1/subjects/{house.subjects[which]}/break-glass", headers=headers, json=body)

    seen = house.ask(monkeypatch, act)
    assert seen[HERE].answer.status_code == 404, seen[HERE].answer.text
    assert_alike(seen)
    assert_on_record(house, seen, asked=False)


@pytest.mark.parametrize("role", ["dpo", "operator", "customer"])
def test_an_agreement_one_may_not_make_is_as_missing(house: House, monkeypatch: pytest.MonkeyPatch, role: str) -> None:
    me = "sub_" + "y" * 26 if role == "customer" else None
    said = evidence("retail", indicated_at=house.desk.vault.now().isoformat(timespec="seconds"))
    body = {"template": "retail", "language": "it", "evidence": said}

    def act(which: str) -> httpx2.Response:
        path = f"/v1/subjects/{house.subjects[which]}/agreements"
        return house.desk.call("POST", path, role, body, subject_id=me)

    seen = house.ask(monkeypatch, act)
    assert seen[HERE].answer.status_code == 404, seen[HERE].answer.text
    assert_alike(seen)


@pytest.mark.parametrize("role", ["dpo", "operator", "customer"])
@pytest.mark.parametrize(("verb", "body"), [("withdrawal", {}), ("narrowing", {"excluded": ["email"]})])
def test_an_agreement_one_may_not_withdraw_is_as_missing(
    house: House, monkeypatch: pytest.MonkeyPatch, role: str, verb: str, body: dict[str, Any]
) -> None:
    me = "sub_" + "y" * 26 if role == "customer" else None

    def act(which: str) -> httpx2.Response:
        path = f"/v1/agreements/{house.agreements[which]}/{verb}"
        return house.desk.call("POST", path, role, {"method": "portal", **body}, subject_id=me)

    seen = house.ask(monkeypatch, act)
    assert seen[HERE].answer.status_code == 404, seen[HERE].answer.text
    assert_alike(seen)


@pytest.mark.parametrize("role", ["t1", "billing", "medical", "operator", "dsr-officer", "system", "customer"])
@pytest.mark.parametrize("path", ["accesses", "accesses/bundle"])
def test_a_list_of_accesses_one_may_not_have_is_as_missing(
    house: House, monkeypatch: pytest.MonkeyPatch, role: str, path: str
) -> None:
    me = "sub_" + "y" * 26 if role == "customer" else None
    ticket = None if role == "customer" else "TCK-asserted"

    def act(which: str) -> httpx2.Response:
        return house.desk.call("GET", f"/v1/subjects/{house.subjects[which]}/{path}", role, subject_id=me, ticket=ticket)

    seen = house.ask(monkeypatch, act)
    assert seen[HERE].answer.status_code == 404, seen[HERE].answer.text
    assert_alike(seen)
    assert_on_record(house, seen, asked=False)


@pytest.mark.parametrize("role", ["t1", "billing", "medical", "operator", "dsr-officer", "customer"])
@pytest.mark.parametrize("query", ["", "?format=kantara", "?event=7"])
def test_a_receipt_one_may_not_have_is_as_missing(house: House, monkeypatch: pytest.MonkeyPatch, role: str, query: str) -> None:
    me = "sub_" + "y" * 26 if role == "customer" else None
    ticket = None if role == "customer" else "TCK-asserted"

    def act(which: str) -> httpx2.Response:
        path = f"/v1/agreements/{house.agreements[which]}/receipt{query}"
        return house.desk.call("GET", path, role, subject_id=me, ticket=ticket)

    seen = house.ask(monkeypatch, act)
    assert seen[HERE].answer.status_code == 404, seen[HERE].answer.text
    assert_alike(seen)


@pytest.mark.parametrize("role", ["t1", "billing", "dpo", "operator", "dsr-officer", "customer", "system"])
@pytest.mark.parametrize("what", ["agreements", "history"])
def test_what_was_agreed_with_whom_one_may_not_know_is_as_missing(
    house: House, monkeypatch: pytest.MonkeyPatch, role: str, what: str
) -> None:
    me = "sub_" + "y" * 26 if role == "customer" else None

    def act(which: str) -> httpx2.Response:
        where = f"subjects/{house.subjects[which]}" if what == "agreements" else f"agreements/{house.agreements[which]}"
        return house.desk.call("GET", f"/v1/{where}/{what}", role, subject_id=me, ticket="TCK-asserted")

    if role == "system":  # may know everybody here: for it alone the three differ
        assert [act(which).status_code for which in (HERE, MISSING, FOREIGN)] == [200, 404, 404]
        return
    seen = house.ask(monkeypatch, act)
    assert seen[HERE].answer.status_code == 404, seen[HERE].answer.text
    assert_alike(seen)


# --- decisions


@pytest.mark.parametrize("role", ["t2", "billing", "dsr-officer", "operator", "system", "customer"])
def test_a_decision_one_may_not_know_of_is_as_missing(house: House, monkeypatch: pytest.MonkeyPatch, role: str) -> None:
    """One of a colleague about somebody who is here, one there is not."""
    desk, me = house.desk, "sub_" + "y" * 26
    theirs = desk.profile("t1", house.subjects[HERE], "email", ticket="TCK-asserted", purpose="marketing")
    decisions = {HERE: theirs.headers["Vault-Decision"], MISSING: "dec_" + "z" * 26}
    seen = {}
    for which in (HERE, MISSING, HERE, MISSING):  # once to warm what is warmed once
        desk.opened.trail.settle(desk.controller_id)  # nothing waits, so nothing is waited for
        with watched(monkeypatch) as statements:
            path = f"/v1/decisions/{decisions[which]}"
            answer = desk.call("GET", path, role, subject_id=me if role == "customer" else None, ticket="TCK-asserted")
        seen[which] = Seen(answer, tuple(statements), desk.entry_of(answer))
    assert seen[HERE].answer.status_code == 404, seen[HERE].answer.text
    assert seen[HERE].told == seen[MISSING].told
    assert seen[HERE].statements == seen[MISSING].statements
    assert [one.entry.subject_id for one in seen.values()] == [None, None]


@pytest.mark.parametrize("role", ["t1", "t2", "billing", "dsr-officer", "operator", "system", "customer"])
def test_an_entry_one_may_not_have_proved_is_as_missing(house: House, monkeypatch: pytest.MonkeyPatch, role: str) -> None:
    """One about somebody who is here, one there is not, one of another company: nobody learns which accesses there were."""
    desk, me = house.desk, "sub_" + "y" * 26
    theirs = desk.profile("t1", house.subjects[HERE], "email", ticket="TCK-asserted", purpose="marketing").headers["Vault-Entry"]
    desk.opened.trail.settle(house.elsewhere)  # whoever made them was answered before the entry had its place in the log
    with psycopg.connect(desk.opened.addresses.url) as owner:
        elsewhere = owner.execute(
            "SELECT entry_id FROM vault.audit_lookup WHERE controller_id <> %s AND subject_id = %s",
            (desk.controller_id, house.subjects[FOREIGN]),
        ).fetchone()
    assert elsewhere is not None
    entries = {HERE: theirs, MISSING: "ent_" + "z" * 26, FOREIGN: elsewhere[0]}
    seen = {}
    for which in (*entries, *entries):  # once to warm what is warmed once
        desk.opened.trail.settle(desk.controller_id)
        with watched(monkeypatch) as statements:
            path = f"/v1/audit/proofs/{entries[which]}"
            answer = desk.call("GET", path, role, subject_id=me if role == "customer" else None, ticket="TCK-asserted")
        seen[which] = Seen(answer, tuple(statements), desk.entry_of(answer))
    assert seen[HERE].answer.status_code == 404, seen[HERE].answer.text
    assert seen[HERE].told == seen[MISSING].told == seen[FOREIGN].told
    assert seen[HERE].statements == seen[MISSING].statements == seen[FOREIGN].statements
    assert {one.entry.leaf["outcome"] for one in seen.values()} == {"refused"}
    assert [one.entry.subject_id for one in seen.values()] == [None] * 3


def test_the_explanation_of_a_404_tells_no_more_than_the_404(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    desk, seen = house.desk, {}
    for which in (*house.subjects, *house.subjects):
        missed = desk.profile("t1", house.subjects[which], "email", "iban", ticket="TCK-asserted")
        assert missed.status_code == 404
        desk.opened.trail.settle(desk.controller_id)
        with watched(monkeypatch) as statements:
            path = f"/v1/decisions/{missed.headers['Vault-Decision']}"
            answer = desk.call("GET", path, "t1", ticket="TCK-asserted")
        told = {name: one for name, one in answer.json().items() if name not in ("decision_id", "of_entry_id", "at")}
        seen[which] = (answer.status_code, told, len(answer.content), tuple(statements))
    assert seen[HERE][0] == 200, seen[HERE]
    assert seen[HERE] == seen[MISSING] == seen[FOREIGN]


@pytest.mark.parametrize("role", ["t1", "billing", "operator", "system"])
def test_a_real_person_one_may_not_simulate_is_as_missing(house: House, monkeypatch: pytest.MonkeyPatch, role: str) -> None:
    def act(which: str) -> httpx2.Response:
        body = {"roles": ["t1"], "purpose": "customer-care", "channel": "phone", "subject_id": house.subjects[which]}
        return house.desk.call("POST", "/v1/decisions:simulate", role, body, ticket="TCK-asserted")

    seen = house.ask(monkeypatch, act)
    assert seen[HERE].answer.status_code == 404, seen[HERE].answer.text
    assert_alike(seen, least=1)
    assert_on_record(house, seen, asked=False)


@pytest.mark.parametrize("role", ["t1", "t2", "dpo", "system"])
def test_an_evaluation_of_somebody_one_may_not_know_is_as_missing(house: House, monkeypatch: pytest.MonkeyPatch, role: str) -> None:
    identity = IDENTITIES[role]

    def act(which: str) -> httpx2.Response:
        body = {
            "subject": {"type": "system" if role == "system" else "agent", "id": identity.caller_id},
            "action": {"name": "view"},
            "resource": {"type": "field", "id": f"{house.subjects[which]}/email"},
            "context": {"purpose": identity.purpose, "channel": identity.channel, "ticket": "TCK-asserted"},
        }
        return house.desk.call("POST", "/access/v1/evaluation", role, body)

    seen = house.ask(monkeypatch, act)
    assert seen[HERE].answer.status_code == 404, seen[HERE].answer.text
    assert_alike(seen, least=1)
    assert_on_record(house, seen)


# --- search


@pytest.mark.parametrize(("role", "purpose"), [("t1", "customer-care"), ("billing", "billing"), ("system", "customer-care")])
def test_a_hit_without_a_right_is_as_a_miss(desk: Desk, monkeypatch: pytest.MonkeyPatch, role: str, purpose: str) -> None:
    person = make_subject(desk.vault, desk.controller_id, GROUND, ("marketing",)).subject_id
    values = {"hit": GROUND["email"], "miss": "giulia.bianchi@example.com"}

    def act(value: str) -> httpx2.Response:
        query = {"by": "email", "value": value}
        return desk.call("POST", "/v1/subjects:search", role, query, ticket="TCK-asserted", purpose=purpose)

    seen = {}
    for which, value in values.items():
        act(value)
        before = desk.entries()
        with watched(monkeypatch) as statements:
            answer = act(value)
        assert len(desk.entries()) == len(before) + 1, which
        seen[which] = Seen(answer, tuple(statements), desk.entry_of(answer))
    hit, miss = seen["hit"], seen["miss"]
    assert (hit.answer.status_code, hit.answer.json()) == (200, {"matches": []})
    assert hit.told == miss.told
    assert hit.statements == miss.statements
    assert len(hit.statements) > 3
    assert set(hit.entry.leaf) == {*miss.entry.leaf, "subject"}
    assert hit.entry.leaf["outcome"] == miss.entry.leaf["outcome"] == "refused"
    assert (hit.entry.subject_id, miss.entry.subject_id) == (person, None)


def test_a_hit_with_a_right_is_a_hit(desk: Desk) -> None:
    """What the two above are told apart from."""
    person = make_subject(desk.vault, desk.controller_id, GROUND, ("retail",)).subject_id
    answer = desk.call("POST", "/v1/subjects:search", "t1", {"by": "email", "value": GROUND["email"]}, ticket="TCK-asserted")
    assert answer.json() == {"matches": [{"subject_id": person, "label": "G•••"}]}
