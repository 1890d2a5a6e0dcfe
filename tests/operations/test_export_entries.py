"""Exports: on record before and after, in the order of the log, pseudonymous for each destination, and complete or refused."""

import csv
import io
from dataclasses import replace
from typing import Any

import orjson
import pytest

from tests.audit.ocsf import datastore_activity, faults
from tests.makers import make_context, make_ticket
from tests.operations.conftest import Ledger
from tests.operations.officers import VALUES, Office, make_office
from vault.audit.review import following
from vault.errors import AccessDenied, Conflict, InvalidValue, Unreadable
from vault.opening import Opened
from vault.operations import export_entries as exporting
from vault.operations.disclose import disclose
from vault.operations.disclosure import Ask
from vault.operations.export_entries import Wish, export_entries, export_in_house

LATER = 4_000_000_000_000


@pytest.fixture
def office(opened: Opened, controller_id: str) -> Office:
    return make_office(opened, controller_id)


def wish(form: str = "jsonl", destination: str = "siem", begins: int = 0, ends: int = LATER) -> Wish:
    return Wish(form, begins, ends, destination)


def exported(office: Office, asked: Wish, vault: Any = None) -> bytes:
    office.opened.trail.settle(office.controller_id)
    return b"".join(export_entries(vault or office.vault, office.officer(), asked).lines())


def lines(octets: bytes) -> list[dict[str, Any]]:
    return [orjson.loads(one) for one in octets.splitlines()]


def test_every_entry_leaves_once_in_order(office: Office, ledger: Ledger) -> None:
    for _ in range(3):
        office.read()
    office.opened.trail.settle(office.controller_id)
    positions = [one for (one,) in ledger.rows("vault.audit_entry", "true ORDER BY position", "position")]
    found = lines(exported(office, wish()))
    assert [one["position"] for one in found][: len(positions)] == positions
    assert len({one["entry_id"] for one in found}) == len(found)


def test_it_is_on_record_before_its_first_line_and_before_its_end(office: Office, ledger: Ledger, opened_entry: Any) -> None:
    office.read()
    office.opened.trail.settle(office.controller_id)
    export = export_entries(office.vault, office.officer(), wish(destination="auditor"))
    assert [leaf["id"] for leaf in ledger.leaves("log-export")] == [export.entry_id]
    written = len(list(export.lines()))
    begun, ended = ledger.leaves("log-export")
    assert (ended["ref"], ended["outcome"], ended["count"]) == (begun["id"], "done", written)
    assert opened_entry(begun["id"]).internal["export"]["destination"] == "auditor"
    assert "auditor" not in str(begun)


def test_one_that_breaks_off_says_so(office: Office, ledger: Ledger) -> None:
    for _ in range(3):
        office.read()
    office.opened.trail.settle(office.controller_id)
    reading = export_entries(office.vault, office.officer(), wish()).lines()
    next(reading)
    next(reading)
    reading.close()  # type: ignore[attr-defined]  # a generator
    assert [(leaf["outcome"], leaf.get("count")) for leaf in ledger.leaves("log-export")] == [("done", None), ("failed", 2)]


def test_it_holds_pseudonyms_of_its_destination_and_no_id_of_the_vault(office: Office) -> None:
    office.read("t1", None, "given_name", "iban")
    for form in ("jsonl", "ocsf"):
        here, there = exported(office, wish(form)), exported(office, wish(form, "auditor"))
        for octets in (here, there):
            text = octets.decode()
            known = (office.person, "t1-1", "system-1", "TCK-", office.agreement, *VALUES.values())
            assert not [one for one in known if one in text]
    subjects = [
        {one["subject"] for one in lines(exported(office, wish(destination=name))) if one["subject"]} for name in ("a", "b")
    ]
    assert subjects[0]
    assert subjects[0].isdisjoint(subjects[1])


def test_every_event_of_a_real_log_is_ocsf(office: Office) -> None:
    office.read()
    office.page()
    events = lines(exported(office, wish("ocsf")))
    assert len(events) > 8
    assert {one["activity_id"] for one in events} >= {1, 4, 6, 99}
    assert [fault for one in events for fault in faults(datastore_activity(), one)] == []


def test_a_window_is_from_until_before(office: Office) -> None:
    office.read()
    found = lines(exported(office, wish("ocsf")))
    times = sorted({one["time"] for one in found})
    part = lines(exported(office, wish("ocsf", begins=times[1], ends=times[-1])))
    assert {one["time"] for one in part} == set(times[1:-1])


def test_steps_join_without_gap_or_repeat(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(4):
        office.read()
    whole = [one["entry_id"] for one in lines(exported(office, wish()))]
    monkeypatch.setattr(exporting, "following", lambda *arguments: following(*arguments)[:2])
    seen: list[tuple[int, int]] = []
    office.opened.trail.settle(office.controller_id)
    export = export_entries(office.vault, office.officer(), wish())
    found = [orjson.loads(one)["entry_id"] for one in export.lines(lambda *done: seen.append(done))]
    assert found[: len(whole)] == whole
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1][0] == len(found)


def test_a_row_that_lies_names_nobody_and_a_lost_leaf_ends_it(office: Office, ledger: Ledger) -> None:
    entry_id = office.read()
    office.opened.trail.settle(office.controller_id)
    ledger.owner(f"UPDATE vault.audit_lookup SET caller_id = 't2-1' WHERE entry_id = '{entry_id}'")
    (row,) = [one for one in lines(exported(office, wish())) if one["entry_id"] == entry_id]
    assert (row["differs"], row["caller"]["label"], row["subject"]) == (True, None, None)
    ledger.owner(f"UPDATE vault.audit_lookup SET position = position + 1000000 WHERE entry_id = '{entry_id}'")
    with pytest.raises(Unreadable):
        exported(office, wish())
    assert ledger.outcomes("log-export")[-1] == "failed"


@pytest.mark.parametrize(
    ("asked", "pointer"),
    [(wish("xml"), "/format"), (wish(destination="My SIEM"), "/destination"), (wish(begins=5, ends=5), "/from")],
)
def test_a_wish_that_is_none_is_refused(office: Office, asked: Wish, pointer: str) -> None:
    with pytest.raises(InvalidValue) as refusal:
        export_entries(office.vault, office.officer(), asked)
    assert [one.pointer for one in refusal.value.faults] == [pointer]


def test_officers_export_and_whoever_runs_the_vault(office: Office, ledger: Ledger) -> None:
    with pytest.raises(AccessDenied):
        export_entries(office.vault, make_context(office.controller_id, "t1", ticket="TCK-0"), wish())
    office.opened.trail.settle(office.controller_id)
    assert list(export_in_house(office.vault, office.controller_id, wish()).lines())
    assert [(leaf["kind"], leaf["outcome"]) for leaf in ledger.leaves("log-export")] == [
        ("agent", "refused"), ("operator", "done"), ("operator", "done"),
    ]  # fmt: skip


# --- the register of a bank


def banking(office: Office) -> Any:
    """Return the vault under settings that make this controller a bank."""
    settings = office.vault.settings.model_copy(update={"banks": (office.controller_id,)})
    return replace(office.vault, settings=settings)


def at_the_counter(office: Office, station: str | None = "PDL-0231", relationship: str | None = "current-account") -> str:
    ticket = make_ticket(office.vault, office.controller_id, office.person, "t1", "TCK-9")
    context = make_context(office.controller_id, "t1", ticket=ticket)
    context = replace(context, station=station, relationship=relationship)
    return disclose(office.vault, Ask(context, office.person, ("given_name",))).entry_id


def now_ms(office: Office) -> int:
    return int(office.vault.now().timestamp() * 1000)


def test_the_register_has_a_row_for_each_act_of_staff_on_a_customer(office: Office) -> None:
    begins = now_ms(office)
    entries = [at_the_counter(office), at_the_counter(office, "PDL-0232", "mortgage")]
    office.page()  # the log's own acts are in no register
    octets = exported(office, wish("garante", begins=begins), banking(office))
    assert octets.startswith(b"\xef\xbb\xbf")
    head, *rows = csv.reader(io.StringIO(octets.decode("utf-8-sig"), newline=""), delimiter=";")
    assert [row[8] for row in rows] == entries
    assert all(all(row[:5]) for row in rows)
    assert [row[4] for row in rows] == ["current-account", "mortgage"]
    assert (rows[0][0], rows[0][3]) == (rows[1][0], rows[1][3])
    assert rows[0][2] != rows[1][2]
    assert b"PDL-" not in octets
    assert head[:5] == ["codice_incaricato", "data_ora", "codice_postazione", "codice_cliente", "tipologia_rapporto"]


def test_a_register_with_an_access_that_lacks_its_context_is_refused_before_it_begins(office: Office, ledger: Ledger) -> None:
    begins = now_ms(office)
    at_the_counter(office)
    at_the_counter(office, station=None)
    with pytest.raises(Conflict) as refusal:
        exported(office, wish("garante", begins=begins), banking(office))
    assert refusal.value.code == "context-incomplete"
    assert ledger.outcomes("log-export") == ["refused"]


def test_a_register_breaks_off_at_an_access_without_its_relationship(office: Office, ledger: Ledger) -> None:
    """The look-up row cannot tell: no row is written with an empty cell all the same."""
    begins = now_ms(office)
    at_the_counter(office, relationship=None)
    with pytest.raises(Conflict):
        exported(office, wish("garante", begins=begins), banking(office))
    assert ledger.outcomes("log-export") == ["done", "failed"]


def test_a_register_is_a_bank_s(office: Office) -> None:
    with pytest.raises(Conflict) as refusal:
        exported(office, wish("garante"))
    assert refusal.value.code == "not-a-bank"
