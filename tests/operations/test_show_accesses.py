"""A person sees who looked at their data, whole and provably so, and nothing of anybody else's; the looking is on record first."""

import io
import json
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.makers import EVERYTHING, HEALTH, make_context, make_subject, make_ticket, register
from tests.operations.conftest import Ledger
from vault.assembly import Vault
from vault.audit import offline
from vault.errors import AccessDenied, AuditUnavailable, InvalidValue, NotFound, Unreadable, VaultError
from vault.notes import VerifierKey
from vault.octets import b64u_decode
from vault.opening import Opened
from vault.operations.disclose import disclose
from vault.operations.disclosure import Ask
from vault.operations.explain import explain
from vault.operations.hand_over_accesses import hand_over_accesses
from vault.operations.prove import prove
from vault.operations.reveal import Wish, reveal
from vault.operations.show_accesses import show_accesses
from vault.operations.signing import document_key
from vault.operations.tickets import TicketFactsIn, put_ticket
from vault.policy.model import Context

VALUES = {name: EVERYTHING[name] for name in ("given_name", "email", "mobile", "iban")} | {"allergies": HEALTH["allergies"]}
STRANGER = "sub_" + "z" * 26


@dataclass(frozen=True)
class House:
    """A customer, and everybody who has to do with them."""

    vault: Vault
    controller_id: str
    subject_id: str

    def own(self, level: int = 3) -> Context:
        """Return the customer's own context, with this much proof of who they are."""
        own = make_context(self.controller_id, "customer", subject_id=self.subject_id)
        return replace(own, caller=replace(own.caller, level=level))

    def as_(self, role: str, **stated: Any) -> Context:
        """Return the context of the role's own work on the customer."""
        ticket = {"t1": "TCK-1", "t2": "TCK-2", "medical": "TCK-3", "dsr-officer": "TCK-4"}.get(role)
        return make_context(self.controller_id, role, **{"ticket": ticket, **stated})

    def look(self, role: str, *fields: str, **stated: Any) -> None:
        """Read the customer's profile, whatever comes of it."""
        try:
            disclose(self.vault, Ask(self.as_(role, **stated), self.subject_id, fields or ("email", "iban")))
        except VaultError:
            return

    def all_pages(self, limit: int, context: Context | None = None) -> list[dict[str, Any]]:
        """Return the list read page by page, from the newest."""
        found: list[dict[str, Any]] = []
        cursor = None
        while True:
            page = show_accesses(self.vault, context or self.own(), self.subject_id, limit, cursor)
            found += page.accesses
            if (cursor := page.next) is None:
                return found

    def files(self, context: Context | None = None, until: str | None = None) -> dict[str, bytes]:
        """Return a bundle's files."""
        package = hand_over_accesses(self.vault, context or self.own(), self.subject_id, until).package
        with zipfile.ZipFile(io.BytesIO(package)) as packed:
            return {name: packed.read(name) for name in packed.namelist()}


@pytest.fixture
def house(vault: Vault, controller_id: str) -> House:
    register(vault, controller_id, "t1", "t2", "medical", "dsr-officer", "dpo", "operator", "system")
    made = make_subject(vault, controller_id, VALUES, ("health-insurance",))
    for number, role in enumerate(("t1", "t2", "medical", "dsr-officer"), 1):
        make_ticket(vault, controller_id, made.subject_id, role, f"TCK-{number}")
    return House(vault, controller_id, made.subject_id)


@pytest.fixture
def verified(
    vault: Vault, controller_id: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Check a bundle's files as a customer would, with the key the company gave them."""
    name = f"{vault.settings.host}/audit/{controller_id}/1"

    def check(files: dict[str, bytes]) -> tuple[int, str]:
        place = tmp_path / vault.new_id("exp")
        for path, octets in files.items():
            (place / path).parent.mkdir(parents=True, exist_ok=True)
            (place / path).write_bytes(octets)
        key = VerifierKey(name, vault.signing.checkpoint_key).text
        status = offline.main(["report", str(place), "--key", key, "--document-key", document_key(vault, controller_id).text])
        return status, capsys.readouterr().out

    return check


def rows(files: dict[str, bytes]) -> list[dict[str, Any]]:
    return list(json.loads(files["accesses/accesses.json"])["accesses"])


# --- what is told


def test_the_person_sees_who_looked_and_why_and_that_they_asked(house: House) -> None:
    house.look("t1")
    reveal(house.vault, house.as_("t2"), house.subject_id, Wish(("email",), "CALLBACK"))
    house.look("t2", ticket="TCK-unheard-of")
    newest, unheard, revealed, disclosed, *_ = show_accesses(house.vault, house.own(), house.subject_id, 50).accesses
    assert (newest["operation"], newest["agent"], newest["outcome"]) == ("show_accesses", "you", "done")
    assert disclosed["operation"] == "disclose"
    assert disclosed["fields"] == {"email": "masked:email_domain", "iban": "masked:iban_last4"}
    said = {name: disclosed[name] for name in ("purpose", "channel", "role", "team", "ticket", "recipient", "system")}
    assert said == {
        "purpose": "customer-care", "channel": "phone", "role": ["t1"], "team": "support", "ticket": "TCK-1",
        "recipient": "helpdesk", "system": "zammad",
    }  # fmt: skip
    assert disclosed["agreement"][0].startswith("agr_")
    assert disclosed["basis"] == ["contract"]
    assert (revealed["operation"], revealed["reason"], set(revealed["fields"])) == ("reveal", "CALLBACK", {"email"})
    assert revealed["agent"] == unheard["agent"] != disclosed["agent"]
    assert unheard["ticket"] == "TCK-unheard-of"
    assert newest["position"] > unheard["position"] > revealed["position"] > disclosed["position"]
    told = json.dumps([newest, unheard, revealed, disclosed])
    assert not [secret for secret in ("t1-1", "t2-1", "req-test", EVERYTHING["email"]) if secret in told]


def test_pages_follow_one_another_without_a_gap(house: House, ledger: Ledger) -> None:
    for _ in range(5):
        house.look("t1")
    whole = house.all_pages(50)
    parts = house.all_pages(2)
    # each reading of a page is itself an access: of the first pages here, later ones do not tell
    known = [one["entry_id"] for one in parts]
    assert known[-len(whole) :] == [one["entry_id"] for one in whole]
    assert len(set(known)) == len(known)
    assert set(ledger.outcomes("show_accesses")) == {"done"}


@pytest.mark.parametrize("cursor", ["A" * 88, "!" * 88, "AAAA"])
def test_a_cursor_is_of_this_list_alone(house: House, controller_id: str, cursor: str) -> None:
    house.look("t1")
    with pytest.raises(InvalidValue):
        show_accesses(house.vault, house.own(), house.subject_id, 1, cursor)
    own = show_accesses(house.vault, house.own(), house.subject_id, 1).next
    other = make_subject(house.vault, controller_id, {"given_name": "Anna"})
    theirs = make_context(controller_id, "customer", subject_id=other.subject_id)
    with pytest.raises(InvalidValue):
        show_accesses(house.vault, theirs, other.subject_id, 1, own)


def test_what_the_law_hides_from_the_person_is_not_there(house: House, opened: Opened) -> None:
    """An entry filed in the held stream is in no page and no bundle, and its absence leaves no gap."""
    house.look("t1")
    last = show_accesses(house.vault, house.own(), house.subject_id, 1).accesses[0]["entry_id"]
    opened.trail.settle(house.controller_id)
    with psycopg.connect(opened.addresses.url, autocommit=True) as owner:
        owner.execute("SET session_replication_role = replica")
        for table in ("audit_detail", "audit_lookup"):
            owner.execute(f"UPDATE vault.{table} SET stream = 'held' WHERE entry_id = '{last}'".encode())
    assert last not in [one["entry_id"] for one in show_accesses(house.vault, house.own(), house.subject_id, 50).accesses]


def test_who_asked_for_what_is_kept_from_the_person_alone_leaves_no_mark_in_their_chain(house: House, ledger: Ledger) -> None:
    """An access that names no field would tell as much as one that names it."""
    house.look("t1", "email")
    before = len(house.all_pages(50))
    for _ in range(2):
        house.look("t1", "aml_note")
    house.look("t1", "email", "aml_note")
    shown = house.all_pages(50)
    assert [one["fields"] for one in shown if one["operation"] == "disclose"] == [{"email": "masked:email_domain"}] * 2
    assert len(shown) == before + 2  # the look at both, and the first list
    assert ledger.rows("vault.audit_detail", "stream = 'held' ORDER BY chain_number", "subject_id, chain_number") == [
        (house.subject_id, 1),
        (house.subject_id, 2),
    ]
    report = ledger.opened.verify(house.controller_id)
    assert report.ok, report.findings


# --- who may


@pytest.mark.parametrize("ask", [lambda v, c, s: show_accesses(v, c, s, 10), hand_over_accesses], ids=["pages", "bundle"])
def test_only_the_person_and_who_answers_for_their_rights(
    house: House, ledger: Ledger, ask: Callable[[Vault, Context, str], object]
) -> None:
    for role in ("dpo", "dsr-officer"):
        ask(house.vault, house.as_(role), house.subject_id)
    for role in ("t1", "t2", "medical"):  # a ticket about them: they may know that the person is here, and no more
        with pytest.raises(AccessDenied):
            ask(house.vault, house.as_(role), house.subject_id)
    for context in (
        house.as_("operator"), house.as_("system"), house.as_("dpo", purpose="customer-care"),
        make_context(house.controller_id, "customer", subject_id=STRANGER),
    ):  # fmt: skip
        with pytest.raises(NotFound):
            ask(house.vault, context, house.subject_id)
    with pytest.raises(NotFound):
        ask(house.vault, house.as_("dpo"), STRANGER)
    assert ledger.outcomes("show_accesses") == ["done"] * 2 + ["refused"] * 8


def test_the_person_proves_enough_and_more_where_health_data_were_shown(house: House) -> None:
    house.look("t1")
    show_accesses(house.vault, house.own(level=2), house.subject_id, 10)
    with pytest.raises(AccessDenied) as refused:
        show_accesses(house.vault, house.own(level=1), house.subject_id, 10)
    assert refused.value.code == "level-needed"
    house.look("medical", "allergies")
    show_accesses(house.vault, house.own(level=3), house.subject_id, 10)
    for ask in (lambda: show_accesses(house.vault, house.own(level=2), house.subject_id, 10), lambda: house.files(house.own(2))):
        with pytest.raises(AccessDenied) as refused:
            ask()
        assert refused.value.code == "level-needed"
    show_accesses(house.vault, house.as_("dpo"), house.subject_id, 10)  # the officer proves who they are otherwise


# --- the bundle


def test_a_bundle_is_checked_without_the_vault(house: House, verified: Callable[..., tuple[int, str]]) -> None:
    house.look("t1")
    house.look("t2", "email", ticket="TCK-2")
    files = house.files()
    status, said = verified(files)
    assert status == 0, said
    told = rows(files)
    assert [one["operation"] for one in told][-3:] == ["disclose", "disclose", "show_accesses"]
    assert f"{len(told)} accesses, numbers 1 to {len(told)}: none is missing" in said
    assert files["offline.py"] == Path(offline.__file__).read_bytes()
    assert "CHI HA GUARDATO" in files["README.txt"].decode()
    again = rows(house.files())
    assert [one["entry_id"] for one in again][:-1] == [one["entry_id"] for one in told]


def test_the_officer_hands_over_what_the_person_would_get(house: House, verified: Callable[..., tuple[int, str]]) -> None:
    house.look("t1")
    own, officers = house.files(), house.files(house.as_("dpo"))
    assert verified(officers)[0] == 0
    assert rows(officers)[: len(rows(own))] == rows(own)
    assert rows(officers)[-1]["agent"].startswith("operator ")


def test_an_entry_the_server_withholds_is_caught(house: House, verified: Callable[..., tuple[int, str]]) -> None:
    for role in ("t1", "t2", "t1"):
        house.look(role)
    files = house.files()
    assert verified(files)[0] == 0
    for at in range(len(rows(files)) - 1):
        without = dict(files)
        for name, entries in (("accesses", "accesses"), ("evidence", "entries")):
            document = json.loads(without[f"accesses/{name}.json"])
            gone = document[entries].pop(at)["entry_id"]
            without[f"accesses/{name}.json"] = json.dumps(document).encode()
        without.pop(f"accesses/proofs/{gone}.tlog-proof")
        status, said = verified(without)
        assert (status, "left out" in said) == (1, True), (at, said)
    late = dict(files)  # nor may it begin late, and say so
    document = json.loads(late["accesses/evidence.json"])
    leaf = json.loads(document["entries"].pop(0)["leaf"])
    document |= {"first": 2, "previous": leaf["subject"]}
    late["accesses/evidence.json"] = json.dumps(document).encode()
    shown = json.loads(late["accesses/accesses.json"])
    late.pop(f"accesses/proofs/{shown['accesses'].pop(0)['entry_id']}.tlog-proof")
    late["accesses/accesses.json"] = json.dumps(shown).encode()
    status, said = verified(late)
    assert (status, "1 accesses before it are not shown" in said) == (1, True), said


def test_what_concerns_somebody_else_shows_its_month_and_nothing_that_dates_it(
    house: House, verified: Callable[..., tuple[int, str]]
) -> None:
    other = make_subject(house.vault, house.controller_id, {"given_name": "Anna"})
    house.look("t1", ticket="TCK-later")
    facts = TicketFactsIn(other.subject_id, state="open", assignee="t1-1", team="support", topic=None)
    put_ticket(house.vault, make_context(house.controller_id, "system"), "TCK-later", facts)
    house.look("t1", ticket="TCK-later")
    files = house.files()
    status, said = verified(files)
    assert (status, "2 of them show only their month" in said) == (0, True), said
    hidden = [one for one in rows(files) if "month" in one]
    assert [one["outcome"] for one in hidden] == ["allowed", "refused"]
    for one in hidden:
        assert not one.keys() & {"at", "position", "ticket", "team", "reason"}
        assert f"accesses/proofs/{one['entry_id']}.tlog-proof" not in files
    assert "TCK-later" not in "".join(octets.decode() for octets in files.values())
    assert [one for one in house.all_pages(50) if "month" in one][::-1] == hidden


def test_nothing_dates_an_entry_that_shows_its_month(house: House, ledger: Ledger) -> None:
    """Not a proof of it, for its position tells when; not where a page ends; not the explanation of the decision; not its hash."""
    house.look("t1")
    house.look("t1", ticket="TCK-later")
    other = make_subject(house.vault, house.controller_id, {"given_name": "Anna"})
    facts = TicketFactsIn(other.subject_id, state="open", assignee="t1-1", team="support", topic=None)
    put_ticket(house.vault, make_context(house.controller_id, "system"), "TCK-later", facts)
    files = house.files()
    plain, hidden = [one for one in rows(files) if one["operation"] == "disclose"]
    assert ("month" in plain, "month" in hidden) == (False, True)
    assert prove(house.vault, house.own(), plain["entry_id"]).proof
    with pytest.raises(NotFound):
        prove(house.vault, house.own(), hidden["entry_id"])
    assert prove(house.vault, house.as_("dpo", purpose="legal-compliance"), hidden["entry_id"]).proof
    for row, named in ((plain, "at"), (hidden, "month")):
        told = explain(house.vault, house.own(), row["entry_id"].replace("ent_", "dec_")).document
        assert {name: told[name] for name in ("at", "month") if name in told} == {named: row[named]}
    leaf = next(one for one in ledger.leaves("disclose") if one["id"] == hidden["entry_id"])
    cursor = None
    while True:
        page = show_accesses(house.vault, house.own(), house.subject_id, 1, cursor)
        cursor = page.next
        if page.accesses[0]["entry_id"] == hidden["entry_id"]:
            break
    assert cursor is not None
    assert leaf["at"].to_bytes(8, "big") not in b64u_decode(cursor)
    assert "leaf_hash" not in files["accesses/evidence.json"].decode()


def test_a_list_that_lacks_rows_is_never_handed_over(house: House, opened: Opened, ledger: Ledger) -> None:
    house.look("t1")
    first = rows(house.files())[-2]["entry_id"]
    house.look("t1")
    with psycopg.connect(opened.addresses.url, autocommit=True) as owner:
        owner.execute("SET session_replication_role = replica")
        owner.execute(f"DELETE FROM vault.audit_lookup WHERE entry_id = '{first}'".encode())
    with pytest.raises(Unreadable):
        house.files()
    assert ledger.outcomes("show_accesses")[-2:] == ["done", "failed"]


@pytest.mark.parametrize("change", ["sealed = sealed || 'x'", "sealed = NULL"])
def test_details_that_are_not_what_was_committed_to_are_an_alarm(house: House, opened: Opened, change: str) -> None:
    house.look("t1")
    newest = show_accesses(house.vault, house.own(), house.subject_id, 2).accesses[1]["entry_id"]
    with psycopg.connect(opened.addresses.url, autocommit=True) as owner:
        owner.execute("SET session_replication_role = replica")
        owner.execute(f"UPDATE vault.audit_detail SET {change} WHERE entry_id = '{newest}'".encode())
    for ask in (lambda: show_accesses(house.vault, house.own(), house.subject_id, 10), house.files):
        with pytest.raises(Unreadable):
            ask()


# --- where the signer runs elsewhere


def test_a_list_no_checkpoint_covers_yet_is_asked_for_again_by_its_entry(
    house: House, opened: Opened, verified: Callable[..., tuple[int, str]]
) -> None:
    house.look("t1")

    def sequenced(controller_id: str) -> None:
        opened.trail._sequencer.drain(controller_id)
        while opened.trail._sequencer.waiting(controller_id):  # the trail's own thread has it
            time.sleep(0.01)

    elsewhere = replace(house, vault=replace(house.vault, settle=sequenced, monotonic=lambda: time.monotonic() * 10))
    opened.trail._done_at["sign", house.controller_id] = time.monotonic()  # nobody signs by the clock meanwhile
    opened.trail.settle(house.controller_id)
    with pytest.raises(AuditUnavailable) as pending:
        elsewhere.files()
    assert (pending.value.code, pending.value.retry_after_s) == ("checkpoint-pending", 60)
    until = pending.value.entry_id
    house.look("t1")
    opened.trail.settle(house.controller_id)
    files = elsewhere.files(until=until)
    assert verified(files)[0] == 0
    assert rows(files)[-1]["entry_id"] == until
    page = show_accesses(house.vault, house.own(), house.subject_id, 1).entry_id
    with pytest.raises(AccessDenied):
        house.files(house.as_("t1"))
    refused = show_accesses(house.vault, house.own(), house.subject_id, 2).accesses[1]
    assert refused["outcome"] == "refused"
    for other in (rows(files)[-2]["entry_id"], page, refused["entry_id"], "ent_" + "z" * 26):
        with pytest.raises(NotFound):
            elsewhere.files(until=other)


def test_a_first_page_waits_for_its_own_entry_and_says_so_where_that_is_long(house: House, opened: Opened) -> None:
    with psycopg.connect(opened.addresses.url) as owner:
        owner.execute(f"SELECT FROM vault.audit_head WHERE controller_id = '{house.controller_id}' FOR UPDATE".encode())
        with pytest.raises(AuditUnavailable) as pending:
            show_accesses(house.vault, house.own(), house.subject_id, 10)
        owner.rollback()
    assert pending.value.code == "entry-pending"
