"""Recipients are told what became of what they received: exactly those, exactly that, until they answer or a person does."""

import base64
import hmac
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from datetime import timedelta
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import orjson
import pytest

from tests.makers import make_context, make_subject, make_ticket, register
from tests.operations.conftest import Ledger
from vault.assembly import Vault
from vault.connectors.webhooks import Webhooks
from vault.erasure import records as erasures
from vault.errors import AccessDenied, Conflict, InvalidValue, NotFound
from vault.notes import split_note
from vault.opening import Opened
from vault.operations.amend import amend
from vault.operations.answer_task import Stated, acknowledge_task, declare_task
from vault.operations.callers import Registration, register_caller
from vault.operations.certify import certify
from vault.operations.deliver_tasks import deliver_tasks, tell_tasks
from vault.operations.disclose import disclose
from vault.operations.disclosure import Ask
from vault.operations.erase import Done, Order, erase, plan_erasure
from vault.operations.notify_recipients import notify_recipients
from vault.operations.register_recipient import end_recipient, register_recipient
from vault.operations.replay import finish_acts
from vault.operations.restrict import lift_restriction, restrict
from vault.operations.show_tasks import show_task, show_tasks
from vault.operations.webhook_key import webhook_key
from vault.operations.withdraw import withdraw
from vault.policy.model import Context
from vault.recipients import task_records
from vault.recipients.delivery import ATTEMPTS, Posted
from vault.recipients.register import Entry
from vault.recipients.tasks import CAUSES

NAME = "Giulia Compiti"
FIELDS = {"desk-a": ("given_name",), "desk-b": ("email",), "desk-c": ("email", "given_name")}
WORDS = "confermato per telefono dal responsabile"
DAY = timedelta(days=1)


class Endpoint:
    """Where a recipient takes webhooks, on loopback; `status` is what it answers."""

    def __init__(self, stack: ExitStack) -> None:
        self.status, self.taken = 204, list[tuple[Mapping[str, str], bytes]]()
        there = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                there.taken.append(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(there.status)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{server.server_port}/hooks"
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        stack.callback(server.server_close)
        stack.callback(thread.join)
        stack.callback(server.shutdown)


@dataclass(frozen=True)
class House:
    """A controller with three helpdesks of other companies, each with its endpoint and its key."""

    opened: Opened
    controller_id: str
    desks: Mapping[str, Endpoint]
    keys: dict[str, bytes] = field(default_factory=dict)
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
        return make_context(self.controller_id, "dpo", purpose="rights-fulfilment")

    def system(self, name: str) -> Context:
        register_caller(self.opened.vault, self.controller_id, Registration(f"{name}-system", ("system",), recipient=name))
        made = make_context(self.controller_id, "system", purpose="rights-fulfilment", channel="api")
        return replace(made, caller=replace(made.caller, id=f"{name}-system"))

    def registered(self, name: str) -> None:
        since = self.opened.vault.now()
        entry = Entry(
            name, "helpdesk", "processor", "IT", contract="DPA 1", contract_from=since, channel="webhook",
            endpoint=self.desks[name].url, days=10,
        )  # fmt: skip
        register_recipient(self.opened.vault, self.controller_id, entry)
        key, _ = webhook_key(self.opened.vault, self.controller_id, name)
        self.keys[name] = base64.b64decode(key.removeprefix("whsec_"))

    def agent(self, subject_id: str, name: str) -> Context:
        caller, ticket_id = f"{name}-agent", f"T-{name}-{subject_id[-8:]}"
        register_caller(self.opened.vault, self.controller_id, Registration(caller, ("t1",), recipient=name))
        ticket = make_ticket(self.opened.vault, self.controller_id, subject_id, "t1", ticket_id, assignee=caller)
        made = make_context(self.controller_id, "t1", ticket=ticket)
        return replace(made, caller=replace(made.caller, id=caller))

    def shown(self, subject_id: str, agent: Context, *fields: str) -> None:
        disclose(self.opened.vault, Ask(agent, subject_id, fields))

    def person(self, received: Mapping[str, Sequence[str]] = FIELDS) -> str:
        address = f"{self.vault.new_id('gc')}@example.it"  # somebody new: those before were erased
        values = {"given_name": NAME, "email": address, "preferred_language": "it"}
        subject_id = make_subject(self.opened.vault, self.controller_id, values).subject_id
        for name, fields in received.items():
            self.shown(subject_id, self.agent(subject_id, name), *fields)
        return subject_id

    def erased(self, subject_id: str, request_id: str, vault: Vault | None = None) -> Done:
        order = Order(request_id, "dpo-1", "dpo-2", plan_erasure(self.vault, self.dpo, subject_id).digest)
        return erase(vault or self.vault, self.dpo, subject_id, order)

    def delivered(self) -> int:
        with closing(Webhooks(self.vault.monotonic)) as post:
            return deliver_tasks(self.vault, self.controller_id, post)

    def notified(self) -> int:
        self.opened.trail.settle(self.controller_id)
        return notify_recipients(self.vault, self.controller_id)

    def tasks(self, subject_id: str) -> dict[str, dict[str, Any]]:
        found, _, _ = show_tasks(self.vault, self.dpo, only_open=False)
        return {one["recipient"]: one for one in found if one["subject_id"] == subject_id}

    def told(self, name: str) -> list[dict[str, Any]]:
        """Return what a recipient was told, each message after its signature was checked as the recipient does."""
        found = []
        for headers, body in self.desks[name].taken:
            signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
            right = "v1," + base64.b64encode(hmac.new(self.keys[name], signed, sha256).digest()).decode()
            assert right in headers["webhook-signature"].split(" ")
            said = json.loads(body)
            assert said["data"]["task_id"] == headers["webhook-id"]
            found.append(said)
        return found


@pytest.fixture
def house(opened: Opened, controller_id: str) -> Iterator[House]:
    with ExitStack() as stack:
        made = House(opened, controller_id, {name: Endpoint(stack) for name in FIELDS})
        register(opened.vault, made.controller_id, "dpo", "t1", "system", "dsr-officer")
        for name in FIELDS:
            made.registered(name)
        yield made


def test_three_recipients_are_told_exactly_what_each_received_and_one_is_down(house: House) -> None:
    """Seen failing with the fields of the act told to each: all three heard of both fields."""
    house.desks["desk-c"].status = 500
    subject_id, other = house.person(), house.person({"desk-a": ("email",)})
    done = house.erased(subject_id, "req_three")
    assert [one["state"] for one in done.result["recipients"]] == ["pending"] * 3
    assert house.delivered() == 3
    handles = set()
    for name, fields in FIELDS.items():
        (said,) = house.told(name)
        assert (said["type"], said["data"]["fields"], said["data"]["whole"]) == ("subject.erased", sorted(fields), True)
        handles.add(said["data"]["handle"])
        assert not any(word in json.dumps(said) for word in (subject_id, NAME, "@"))
    assert len(handles) == 3  # nobody can compare them
    stands = house.tasks(subject_id)
    assert {name: one["state"] for name, one in stands.items()} == {
        "desk-a": "acknowledged",
        "desk-b": "acknowledged",
        "desk-c": "sent",
    }
    assert house.tasks(other) == {}
    for name in ("desk-a", "desk-b"):
        acknowledge_task(house.vault, house.system(name), stands[name]["task_id"], "completed")
    late = replace(house, ahead=11 * DAY)
    stands = late.tasks(subject_id)
    assert {name: (one["state"], one["overdue"]) for name, one in stands.items()} == {
        "desk-a": ("completed", False), "desk-b": ("completed", False), "desk-c": ("sent", True),
    }  # fmt: skip
    assert tell_tasks(late.vault, house.controller_id) == 1
    assert tell_tasks(late.vault, house.controller_id) == 0
    (event,) = house.ledger.rows("vault.event", "name = 'task:overdue'", "data->>'task_id'")
    assert event == (stands["desk-c"]["task_id"],)
    said = certified(late, subject_id)
    assert {one["recipient"]: (one["state"], one["overdue"]) for one in said["recipients"]} == {
        "desk-a": ("completed", False), "desk-b": ("completed", False), "desk-c": ("sent", True),
    }  # fmt: skip


def certified(house: House, subject_id: str) -> dict[str, Any]:
    """Return what the later certificate of an erasure says."""
    with house.vault.database.snapshot(house.controller_id) as rows:
        made = erasures.erasures(rows, house.controller_id, subject_id)[-1]
    line = next(one for one in house.vault.ledger.lines() if one.number == made.ledger_number)
    body, _ = split_note(certify(house.vault, house.controller_id, made, line, "final")[1].decode())
    return dict(orjson.loads(body))


def test_who_answers_500_for_four_days_is_left_to_a_person(house: House) -> None:
    house.desks["desk-b"].status = 500
    subject_id = house.person({"desk-b": ("email",)})
    house.erased(subject_id, "req_days")
    tried_at = [hours for hours in range(100) if replace(house, ahead=timedelta(hours=hours)).delivered()]
    assert tried_at[-1] < 96
    messages = [headers for headers, _ in house.desks["desk-b"].taken]
    assert len(messages) == ATTEMPTS
    assert len({one["webhook-id"] for one in messages}) == 1  # what arrives twice counts once
    task = house.tasks(subject_id)["desk-b"]
    assert (task["state"], task["attempts"], task["next_at"]) == ("manual", ATTEMPTS, None)
    whole, _ = show_task(house.vault, house.dpo, task["task_id"])
    assert [one["code"] for one in whole["steps"]] == ["500"] * ATTEMPTS


def test_an_endpoint_that_is_gone_gets_nothing_more(house: House) -> None:
    house.registered("desk-a")
    house.desks["desk-a"].status = 410
    first, second = (house.person({"desk-a": ("email",)}) for _ in range(2))
    house.erased(first, "req_gone")
    house.erased(second, "req_gone2")
    house.delivered()
    assert len(house.desks["desk-a"].taken) == 2  # both were read before the answer
    third = house.person({"desk-a": ("email",)})
    house.erased(third, "req_gone3")
    house.delivered()
    assert len(house.desks["desk-a"].taken) == 2
    assert {house.tasks(one)["desk-a"]["state"] for one in (first, second, third)} == {"manual"}
    end_recipient(house.vault, house.controller_id, "desk-a")
    house.registered("desk-a")
    assert house.tasks(third)["desk-a"]["state"] == "manual"


def test_what_went_while_it_waited_to_an_endpoint_that_ended_is_for_a_person(house: House) -> None:
    subject_id = house.person({"desk-b": ("email",)})
    house.erased(subject_id, "req_ended")
    end_recipient(house.vault, house.controller_id, "desk-b")
    house.delivered()
    assert house.desks["desk-b"].taken == []
    assert house.tasks(subject_id)["desk-b"]["state"] == "manual"
    house.registered("desk-b")


def act(house: House, kind: str, subject_id: str) -> None:
    system = make_context(house.controller_id, "system")
    ((agreement_id,),) = house.ledger.rows(
        "vault.agreement_state", f"subject_id = '{subject_id}' AND status = 'in_force'", "agreement_id"
    )
    if kind == "rectification":
        amend(house.vault, system, subject_id, agreement_id, {"email": "nuova.compiti@example.it"}, 1)
    elif kind == "withdrawal":
        withdraw(house.vault, system, agreement_id, {})
    else:
        restrict(house.vault, house.dpo, subject_id, "accuracy", ["email"])
    if kind == "lifting":
        told_at = house.vault.now()
        lift_restriction(house.vault, house.dpo, subject_id, told_at, ["email"])


@pytest.mark.parametrize("kind", ["rectification", "restriction", "lifting", "withdrawal"])
def test_each_act_is_told_to_whom_it_concerns(house: House, kind: str) -> None:
    subject_id = house.person({"desk-a": ("email",), "desk-b": ("given_name",), "desk-c": ("email", "given_name")})
    act(house, kind, subject_id)
    house.notified()
    made = house.tasks(subject_id)
    whom = {"desk-a", "desk-b", "desk-c"} if kind == "withdrawal" else {"desk-a", "desk-c"}
    assert set(made) == whom
    if kind != "withdrawal":
        assert {tuple(one["fields"]) for one in made.values()} == {("email",)}
        assert (made["desk-a"]["whole"], made["desk-c"]["whole"]) == (True, False)
    assert house.notified() == 0
    assert house.ledger.rows("vault.event", f"sent_at IS NULL AND name IN ({', '.join(repr(one) for one in CAUSES)})") == []


def test_whoever_is_shown_something_while_an_erasure_is_on_its_way_is_told_too(house: House) -> None:
    """Seen failing without the second look after the commit: the agent who came in between was told of nothing."""
    subject_id = house.person({"desk-a": ("email",)})
    first, second = (house.agent(subject_id, name) for name in ("desk-a", "desk-b"))

    class Meanwhile:
        def __init__(self, real: Any) -> None:
            self._real = real

        def __getattr__(self, name: str) -> Any:
            return getattr(self._real, name)

        def append(self, said: Any) -> Any:
            if said.op == "intent":
                house.shown(subject_id, first, "given_name")
                house.shown(subject_id, second, "email")
            return self._real.append(said)

    house.erased(subject_id, "req_between", replace(house.vault, ledger=Meanwhile(house.vault.ledger)))
    assert {name: one["fields"] for name, one in house.tasks(subject_id).items()} == {
        "desk-a": ["email", "given_name"], "desk-b": ["email"],
    }  # fmt: skip


def test_an_erasure_carried_on_after_a_crash_tells_no_less(house: House) -> None:
    """Seen failing with what the ledger says alone: what a duty keeps here was no longer to be erased there."""
    subject_id = house.person({"desk-a": ("email", "preferred_language")})  # a duty keeps the first
    settle, calls = house.vault.settle, list[str]()

    def killed(controller_id: str) -> None:
        calls.append(controller_id)
        if len(calls) > 1:  # after the commit
            raise KeyboardInterrupt
        settle(controller_id)

    with pytest.raises(KeyboardInterrupt):
        house.erased(subject_id, "req_on", replace(house.vault, settle=killed))
    before = {name: one["fields"] for name, one in house.tasks(subject_id).items()}
    assert before == {"desk-a": ["email", "preferred_language"]}
    assert finish_acts(house.opened.vault, house.controller_id) == 1
    assert {name: one["fields"] for name, one in house.tasks(subject_id).items()} == before


def test_what_is_on_its_way_is_not_widened(house: House) -> None:
    """Seen failing with a claim that leaves the version: the row said more than was told."""
    subject_id = house.person({"desk-a": ("email",)})
    house.erased(subject_id, "req_way")

    def widening(_url: str, _headers: Mapping[str, str], body: bytes, _most: int) -> Posted:
        with house.vault.database.transaction(house.controller_id) as transaction:
            (row,) = task_records.caused_by(transaction, house.controller_id, cause)
            task_records.widen(transaction, house.controller_id, [replace(row, task_id="tsk_other", fields=["email", "iban"])])
        assert json.loads(body)["data"]["fields"] == ["email"]
        return Posted(204)

    ((cause,),) = house.ledger.rows("vault.recipient_task", f"subject_id = '{subject_id}'", "cause")
    assert deliver_tasks(house.vault, house.controller_id, widening) == 1
    assert house.tasks(subject_id)["desk-a"]["fields"] == ["email"]


def test_a_recipient_answers_for_its_own_tasks_alone(house: House) -> None:
    """Seen failing without the comparison of recipients: the other's system completed the task."""
    subject_id = house.person({"desk-a": ("email",)})
    house.erased(subject_id, "req_own")
    task_id = house.tasks(subject_id)["desk-a"]["task_id"]
    for act in (
        lambda context: show_task(house.vault, context, task_id),
        lambda context: acknowledge_task(house.vault, context, task_id, "completed"),
    ):
        with pytest.raises(NotFound):
            act(house.system("desk-b"))
        with pytest.raises(NotFound):
            act(make_context(house.controller_id, "t1"))
    own = house.system("desk-a")
    shown, _ = show_task(house.vault, own, task_id)
    assert (shown["subject_id"], shown["steps"], shown["fields"]) == (None, [], ["email"])
    for refused in (
        lambda: show_tasks(house.vault, own),
        lambda: declare_task(house.vault, own, task_id, Stated("excused", WORDS)),
        lambda: acknowledge_task(house.vault, house.dpo, task_id, "completed"),
    ):
        with pytest.raises(AccessDenied):
            refused()
    with pytest.raises(InvalidValue):
        acknowledge_task(house.vault, own, task_id, "completed", "\ud800")
    assert acknowledge_task(house.vault, own, task_id, "acknowledged").state == "acknowledged"
    assert acknowledge_task(house.vault, own, task_id, "completed", "fatto").state == "completed"
    with pytest.raises(Conflict, match="task-state"):
        acknowledge_task(house.vault, own, task_id, "refused")
    assert house.delivered() == 0


def test_an_officer_states_with_evidence_and_in_person(house: House) -> None:
    subject_id = house.person({"desk-a": ("email",)})
    house.erased(subject_id, "req_said")
    task_id = house.tasks(subject_id)["desk-a"]["task_id"]
    for wrong in (Stated("completed", WORDS), Stated("completed", WORDS, "x" * 256), Stated("excused", "breve")):
        with pytest.raises(InvalidValue):
            declare_task(house.vault, house.dpo, task_id, wrong)
    register_caller(house.vault, house.controller_id, Registration("zammad", ("system",), acts_for_agents=True))
    spoken = replace(house.dpo, caller=replace(house.dpo.caller, actor="zammad"))
    with pytest.raises(AccessDenied, match="not-in-person"):
        declare_task(house.vault, spoken, task_id, Stated("excused", WORDS))
    assert declare_task(house.vault, house.dpo, task_id, Stated("completed", WORDS, "messaggio 7")).state == "completed"
    whole, _ = show_task(house.vault, house.dpo, task_id)
    (step,) = whole["steps"]
    assert (step["role"], step["said"], step["evidence"], step["state"]) == ("officer", WORDS, "messaggio 7", "completed")
    kept = house.ledger.rows("vault.recipient_task_step", f"task_id = '{task_id}'")
    assert WORDS not in str(kept)
    with pytest.raises(NotFound):
        show_task(house.vault, house.dpo, "tsk_" + "a" * 26)


def test_an_answer_that_came_while_it_was_sent_stands(house: House) -> None:
    subject_id = house.person({"desk-a": ("email",)})
    house.erased(subject_id, "req_race")
    task_id = house.tasks(subject_id)["desk-a"]["task_id"]

    def answering(_url: str, _headers: Mapping[str, str], _body: bytes, _most: int) -> Posted:
        acknowledge_task(house.vault, house.system("desk-a"), task_id, "completed")
        return Posted(500)

    assert deliver_tasks(house.vault, house.controller_id, answering) == 1
    assert house.tasks(subject_id)["desk-a"]["state"] == "completed"


def test_what_another_process_has_claimed_is_not_sent_twice(house: House) -> None:
    subject_id = house.person({"desk-a": ("email",)})
    house.erased(subject_id, "req_claim")
    inner: list[int] = []

    def claimed(_url: str, _headers: Mapping[str, str], _body: bytes, _most: int) -> Posted:
        inner.append(house.delivered())
        return Posted(204)

    assert deliver_tasks(house.vault, house.controller_id, claimed) == 1
    assert (inner, house.desks["desk-a"].taken) == ([0], [])


def test_a_key_changed_signs_beside_the_old_one_for_a_while(house: House) -> None:
    with pytest.raises(NotFound):
        webhook_key(house.vault, house.controller_id, "desk-unheard-of")
    before = house.keys["desk-c"]
    text, _ = webhook_key(house.vault, house.controller_id, "desk-c", change=True)
    with pytest.raises(Conflict, match="key-just-changed"):
        webhook_key(house.vault, house.controller_id, "desk-c", change=True)
    after = base64.b64decode(text.removeprefix("whsec_"))
    assert after != before
    for ahead, keys in ((timedelta(0), 2), (8 * DAY, 1)):
        subject_id = house.person({"desk-c": ("email",)})
        house.desks["desk-c"].taken.clear()
        house.erased(subject_id, f"req_key{keys}")
        replace(house, ahead=ahead).delivered()
        assert len(house.desks["desk-c"].taken[-1][0]["webhook-signature"].split(" ")) == keys
        house.keys["desk-c"] = after
        assert house.told("desk-c")
