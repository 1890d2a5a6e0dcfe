"""Obscured health data: nobody but the person can tell somebody who obscured them from somebody who never had them.

Two people of two companies, alike to the letter; one shared health data and obscured them. Every answer is compared byte for byte,
with ids, tokens and times blotted out at equal length; so are the entries left, what the outside is told, and the work done.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import httpx2
import orjson
import psycopg
import pytest

from tests.assurance.desk import Desk
from tests.assurance.statements import watched
from tests.makers import EVERYTHING, make_subject
from tests.makers import HEALTH as EVERY_SPECIAL
from vault.operations.disclose import disclose
from vault.operations.disclosure import Ask

HEALTH: Final = {name: value for name, value in EVERY_SPECIAL.items() if name != "union_membership"}
SPECIAL: Final = tuple(HEALTH)
SHARED: Final = {name: EVERYTHING[name] for name in ("customer_number", "given_name", "family_name", "email", "mobile", "iban")}
OBSCURED: Final = {"all there is": SPECIAL, "some of it": ("health_note", "disability")}
STAFF: Final = ("t1", "t2", "billing", "medical", "dsr-officer", "system", "dpo", "operator")
WORDS: Final = "la truffa sembra in corso proprio ora"
_RANDOM: Final = re.compile(
    r"\b(sub|agr|dec|ent|bgl|evt|call|sus|dny)_[a-z2-7]{26}|tok_[A-Za-z0-9_-]+|\d{4}-\d\d-\d\dT[0-9:.]+(?:Z|\+\d\d:\d\d)|(?<=age_s\":)\d+"
)


def blotted(octets: bytes | str) -> str:
    """Return what is left when ids, tokens, times and ages are blotted out, each to its length."""
    text = octets.decode() if isinstance(octets, bytes) else octets
    return _RANDOM.sub(lambda found: "•" * (1 if found[0].isdigit() else len(found[0])), text)


@dataclass(frozen=True)
class Customer:
    """Somebody of a company, with a ticket for everybody of its staff."""

    desk: Desk
    subject_id: str
    agreement_id: str

    @property
    def path(self) -> str:
        return f"/v1/subjects/{self.subject_id}"

    def told(self, answer: httpx2.Response) -> tuple[Any, ...]:
        """Return everything of an answer that is no id and no time."""
        headers = sorted((name, "•" if name == "retry-after" else blotted(value)) for name, value in answer.headers.items())
        return answer.status_code, headers, blotted(answer.content), len(answer.content)

    def entered(self, answer: httpx2.Response) -> tuple[Any, ...]:
        """Return everything of the entry of an answer that is no id and no time."""
        entry = self.desk.entry_of(answer)
        said = {name: entry.leaf.get(name) for name in ("operation", "outcome", "purpose", "channel", "fields", "count", "terms")}
        return said, blotted(orjson.dumps([entry.details, entry.internal], option=orjson.OPT_SORT_KEYS))

    def events(self) -> list[tuple[str, str]]:
        """Return what the outside was told, in order."""
        with psycopg.connect(self.desk.opened.addresses.url) as connection:
            found = connection.execute(
                "SELECT name, data::text FROM vault.event WHERE controller_id = %s ORDER BY at, name", (self.desk.controller_id,)
            )
            return [(name, blotted(data)) for name, data in found]

    def own(self) -> dict[str, Any]:
        """Return the special fields as the person reads them."""
        fields = self.desk.profile("customer", self.subject_id, *SPECIAL).json()["fields"]
        return {name: fields[name]["value"] for name in SPECIAL}


Pair = tuple[Customer, Customer]


def customer(desk: Desk, values: dict[str, Any]) -> Customer:
    made = make_subject(desk.vault, desk.controller_id, values, ("health-insurance",))
    for role in ("t1", "t2", "billing", "medical", "dsr-officer"):
        desk.ticket(made.subject_id, role, f"TCK-{role}")
    return Customer(desk, made.subject_id, made.agreements[0])


@pytest.fixture(params=OBSCURED)
def pair(request: pytest.FixtureRequest, desks: Callable[[], Desk]) -> Pair:
    """Somebody who obscured health data, and who never had them and changed something else: both at their second version."""
    fields = OBSCURED[request.param]
    one = customer(desks(), {**SHARED, **HEALTH})
    body = {"fields": list(fields)}
    done = one.desk.call("POST", f"{one.path}/obscurings", "customer", body, one.subject_id)
    assert (done.status_code, done.json()["version"]) == (200, 2), done.text
    left = {name: value for name, value in HEALTH.items() if name not in fields}
    other = customer(desks(), {**SHARED, **left})
    change = {"agreement_id": other.agreement_id, "fields": {"email": SHARED["email"]}}
    headers = other.desk.headers("t2", ticket="TCK-t2", if_match='"1"')
    assert other.desk.client.patch(f"{other.path}/fields", headers=headers, json=change).status_code == 200
    return one, other


def readings(one: Customer) -> Iterator[tuple[str, httpx2.Response]]:
    """Look at somebody in every way there is, as everybody: yield what was done and the answer."""
    desk, person = one.desk, one.subject_id
    for role in STAFF:
        ticket = f"TCK-{role}" if role not in ("system", "dpo", "operator") else "TCK-0"
        for fields in ((), SPECIAL, (*SHARED, *SPECIAL)):
            answer = desk.profile(role, person, *fields, ticket=ticket)
            yield f"profile {role}", answer
        for reader in (role, "dpo"):
            yield f"explain {role} to {reader}", desk.call("GET", f"/v1/decisions/{decision_of(answer)}", reader, ticket=ticket)
        wish = {"fields": ["health_note", "allergies", "email"], "reason": "CALLBACK"}
        yield f"reveal {role}", desk.call("POST", f"{one.path}/reveals", role, wish, ticket=ticket)
        for name in ("health_note", "email"):
            claim = {"field": name, "value": SHARED.get(name, "asma lieve")}
            yield f"verify {name} {role}", desk.call("POST", f"{one.path}/verifications", role, claim, ticket=ticket)
    for by, value in {**SHARED, **HEALTH}.items():
        for role in ("t1", "dsr-officer"):
            yield (
                f"find {by} {role}",
                desk.call("POST", "/v1/subjects:search", role, {"by": by, "value": value}, ticket=f"TCK-{role}"),
            )


def decision_of(answer: httpx2.Response) -> str:
    return str(answer.headers.get("Vault-Decision") or answer.json()["decision_id"])


def questions(one: Customer) -> Iterator[tuple[str, httpx2.Response]]:
    """Ask what would be shown: as the officers suppose it, and as systems ask."""
    care = {"purpose": "health-service", "channel": "phone", "ticket": "verified", "assigned": True, "in_care": True}
    supposed = {**care, "roles": ["medical"], "training": ["gdpr-art9"], "recipient": "care-unit", "fields": list(SPECIAL)}
    for act in ("profile", "reveal", "export", "amend"):
        for kind in ("agent", "subject"):
            body = {**supposed, "act": act, "kind": kind, "subject_id": one.subject_id}
            for role in ("dpo", "dsr-officer"):
                yield f"simulate {act} {kind} {role}", one.desk.call("POST", "/v1/decisions:simulate", role, body, ticket="TCK-0")
    question = {
        "subject": {"type": "agent", "id": "demo-medical"},
        "action": {"name": "view"},
        "context": {"purpose": "health-service", "channel": "phone", "ticket": "TCK-medical"},
    }
    for name in SPECIAL:
        asked = {**question, "resource": {"type": "field", "id": f"{one.subject_id}/{name}"}}
        yield f"evaluate {name}", one.desk.call("POST", "/access/v1/evaluation", "medical", asked)
        several = {**asked, "evaluations": [{}, {"action": {"name": "view_clear"}}]}
        yield f"evaluate several {name}", one.desk.call("POST", "/access/v1/evaluations", "medical", several)


def emergencies(one: Customer) -> Iterator[tuple[str, httpx2.Response]]:
    """Break the glass for the very fields, with approval: what is obscured stays as if it had never been."""

    def post(who: str, where: str, body: object) -> httpx2.Response:
        return one.desk.client.post(where, headers=one.desk.lead(who, "TCK-billing"), json=body)

    fields = ["health_note", "allergies", "iban"]
    opened = post("demo-lead", f"{one.path}/break-glass", {"fields": fields, "reason": "FRAUD_IN_PROGRESS", "justification": WORDS})
    assert opened.status_code == 201, opened.text
    yield "plea", opened
    yield "approval", post("demo-approver", f"/v1/break-glass/{opened.json()['grant_id']}:approve", {})
    shown = post("demo-lead", f"{one.path}/reveals", {"fields": fields, "reason": "LEGAL_DUTY"})
    assert (shown.json()["fields"]["iban"]["state"], shown.json()["fields"]["health_note"]["state"]) == ("clear", "absent")
    yield "reveal by grant", shown


def changes(one: Customer) -> Iterator[tuple[str, httpx2.Response]]:
    """Write in good faith, then end the agreement: what was obscured leaves no trace in either."""

    def patch(fields: dict[str, Any], version: int) -> httpx2.Response:
        headers = one.desk.headers("medical", ticket="TCK-medical", if_match=f'"{version}"')
        return one.desk.client.patch(
            f"{one.path}/fields", headers=headers, json={"agreement_id": one.agreement_id, "fields": fields}
        )

    yield "remove", patch({"health_note": None}, 2)
    yield "write", patch({"disability": "temporanea"}, 3)
    yield "read back", one.desk.profile("medical", one.subject_id, *SPECIAL, ticket="TCK-medical")
    yield "remove again", patch({"disability": None}, 4)
    ended = f"/v1/agreements/{one.agreement_id}/withdrawal"
    yield "withdraw", one.desk.call("POST", ended, "t2", {"call_id": "call-9"}, ticket="TCK-t2")
    yield "read after", one.desk.profile("medical", one.subject_id, *SPECIAL, ticket="TCK-medical")


def ending(one: Customer) -> Iterator[tuple[str, httpx2.Response]]:
    """End the agreement with nothing written since: a class that only a duty to keep still holds is archived."""
    ended = f"/v1/agreements/{one.agreement_id}/withdrawal"
    yield "withdraw", one.desk.call("POST", ended, "t2", {"call_id": "call-9"}, ticket="TCK-t2")
    yield "read after", one.desk.profile("medical", one.subject_id, *SPECIAL, ticket="TCK-medical")


def emptying(one: Customer) -> Iterator[tuple[str, httpx2.Response]]:
    """The same where no duty keeps anything: the class goes."""
    with psycopg.connect(one.desk.opened.addresses.url) as owner:
        owner.execute("DELETE FROM keys.data_key_wrap WHERE subject_id = %s AND holder_kind = 'hold'", (one.subject_id,))
    yield from ending(one)


WAYS: Final[dict[str, Callable[[Customer], Iterator[tuple[str, httpx2.Response]]]]] = {
    "readings": readings, "questions": questions, "emergencies": emergencies, "changes": changes, "ending": ending,
    "emptying": emptying,
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_who_obscured_looks_like_who_never_had_any(pair: Pair, way: str) -> None:
    seen = [list(WAYS[way](one)) for one in pair]
    assert [name for name, _ in seen[0]] == [name for name, _ in seen[1]]
    for (name, mine), (_, theirs) in zip(*seen, strict=True):
        assert pair[0].told(mine) == pair[1].told(theirs), name
        if "Vault-Entry" in mine.headers:
            assert pair[0].entered(mine) == pair[1].entered(theirs), name
    told = [one.events() for one in pair]
    assert told[0] == [event for event in told[1] if "email" not in event[1]]  # the other's own change


class Counted:
    """Keys that count how often a class's key is unwrapped."""

    def __init__(self, keys: Any) -> None:
        self._keys, self.asked = keys, 0

    def key(self, *place: Any) -> bytes:
        self.asked += 1
        return self._keys.key(*place)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._keys, name)


def test_the_same_work_is_done(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read, recorded and unwrapped is the same; the sealed bytes that come along unread are not, and nobody sees them."""
    done = []
    for one in pair:
        keys = Counted(one.desk.vault.keys)
        vault = replace(one.desk.vault, keys=keys)  # type: ignore[arg-type]  # stands in for them
        ask = Ask(replace(one.desk.context("medical"), ticket_id="TCK-medical"), one.subject_id, SPECIAL)
        disclose(vault, ask)
        keys.asked = 0
        with watched(monkeypatch) as statements:
            disclose(vault, ask)
        done.append((tuple(statements), keys.asked))
    assert done[0] == done[1]


def test_the_person_reads_what_they_obscured_and_lifts_it(pair: Pair) -> None:
    one = pair[0]
    assert one.own() == HEALTH
    seen = one.desk.profile("medical", one.subject_id, "health_note", ticket="TCK-medical").json()["fields"]["health_note"]
    assert (seen["state"], seen["value"], seen["because"]) == ("absent", None, "care-health")
    body = {"fields": ["health_note"]}
    lifted = one.desk.call("POST", f"{one.path}/obscurings:lift", "customer", body, one.subject_id)
    assert lifted.status_code == 200, lifted.text
    again = one.desk.profile("medical", one.subject_id, "health_note", "disability", ticket="TCK-medical").json()["fields"]
    assert (again["health_note"]["value"], again["disability"]["state"]) == (HEALTH["health_note"], "absent")


def test_nobody_removes_what_they_cannot_know_of(pair: Pair) -> None:
    one = pair[0]
    headers = one.desk.headers("medical", ticket="TCK-medical", if_match='"2"')
    change = {"agreement_id": one.agreement_id, "fields": {"health_note": None}}
    assert one.desk.client.patch(f"{one.path}/fields", headers=headers, json=change).status_code == 200
    assert one.own() == HEALTH


def test_the_obscuring_is_obscured_too(pair: Pair) -> None:
    """Its entry names the fields to officers alone, nothing goes out, and the answer is one whether or not there was a value."""
    one, other = pair
    body = {"fields": list(SPECIAL)}
    answers = [
        each.desk.call("POST", f"{each.path}/obscurings{way}", "customer", body, each.subject_id)
        for way in ("", ":lift", "")
        for each in pair
    ]
    assert {(answer.status_code, blotted(answer.content)) for answer in answers[:2]} == {
        (200, '{"version":3,"entry_id":"' + "•" * 30 + '"}')
    }
    entry = one.desk.entry_named(answers[0].json()["entry_id"])
    assert (entry.leaf["operation"], entry.internal["fields"]) == ("obscure", sorted(SPECIAL))
    assert not [name for name in SPECIAL if name in repr(entry.leaf) + repr(entry.details)]
    assert {name for name, _ in one.events()} == {name for name, _ in other.events()} - {"subject:amended"}


@pytest.mark.parametrize(("role", "status"), [("t1", 403), ("t2", 403), ("medical", 403), ("dpo", 404), ("system", 404)])
def test_only_the_person_and_their_request_obscure(desk: Desk, role: str, status: int) -> None:
    one = customer(desk, {**SHARED, **HEALTH})
    body = {"fields": ["health_note"]}
    assert one.desk.call("POST", f"{one.path}/obscurings", role, body, ticket=f"TCK-{role}").status_code == status
    assert one.desk.call("POST", f"{one.path}/obscurings", "dsr-officer", body, ticket="TCK-dsr-officer").status_code == 200


@pytest.mark.parametrize("fields", [["email"], ["health_note", "no_such_field"], []])
def test_only_special_fields_are_obscured(desk: Desk, fields: list[str]) -> None:
    one = customer(desk, {**SHARED, **HEALTH})
    answer = one.desk.call("POST", f"{one.path}/obscurings", "customer", {"fields": fields}, one.subject_id)
    assert answer.status_code == 422
