"""Data that are not from the person say where they are from, and the person is told of them in time, or an officer hears of it."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from structlog.testing import capture_logs

from tests.conftest import Controllers
from tests.importing.makers import GOOD, HEADER, LAYOUT
from tests.makers import make_context, make_ticket, register, terms
from tests.operations.conftest import Ledger
from vault.assembly import Vault
from vault.errors import AccessDenied, Conflict, InvalidValue
from vault.opening import Opened
from vault.operations.amend import amend
from vault.operations.disclose import disclose
from vault.operations.disclosure import Ask
from vault.operations.enroll import Enrolled, enroll
from vault.operations.import_subjects import run_import
from vault.operations.noticing import Given
from vault.operations.obscure import obscure
from vault.operations.project_disclosures import project_disclosures
from vault.operations.serve_notice import serve_notice
from vault.operations.show_sources import show_sources
from vault.operations.sourcing import Sourced
from vault.operations.tell_sources import tell_sources
from vault.operations.withdraw import withdraw
from vault.policy.model import Context
from vault.sources import untold

NOTICE = Given("customers", None, "it")
AGENCY = {"account_holder": Sourced("agency")}
VALUES = {"given_name": "Giulia", "account_holder": "Giulia Bianchi"}


@pytest.fixture(scope="module")
def house(shared_controllers: Controllers, opened: Opened) -> Ledger:
    controller_id = shared_controllers()
    register(opened.vault, controller_id, "system", "t1", "t2", "dpo")
    return Ledger(opened, controller_id)


@pytest.fixture(scope="module")
def vault(house: Ledger) -> Vault:
    """The vault under a catalogue in which the holder of an account is told by others."""
    governed = house.opened.vault.governed(house.controller_id)
    fields = governed.catalogue.fields
    changed = {**fields, "account_holder": replace(fields["account_holder"], origin="third-party")}
    return replace(governed, catalogue=replace(governed.catalogue, fields=changed))


def named(house: Ledger, role: str, **stated: Any) -> Context:
    return make_context(house.controller_id, role, **stated)


def made(house: Ledger, vault: Vault, sources: Mapping[str, Sourced] = AGENCY, **other: Any) -> Enrolled:
    return enroll(vault, named(house, "system"), VALUES, (terms("retail", channel="phone"),), other.get("given"), sources)


def rows_of(house: Ledger, subject_id: str, columns: str = "field, value_version, source, because, told_at IS NULL") -> list[Any]:
    return house.rows("vault.data_source", f"subject_id = '{subject_id}' ORDER BY value_version", columns)


def later(vault: Vault, **by: float) -> Vault:
    return replace(vault, now=lambda: vault.now() + timedelta(**by))


def faults(act: Any) -> list[tuple[str, str]]:
    with pytest.raises(InvalidValue) as refused:
        act()
    return [(one.pointer, one.code) for one in refused.value.faults]


def test_a_value_of_others_without_a_source_is_refused_and_nothing_is_stored(house: Ledger, vault: Vault) -> None:
    people = len(house.rows("vault.subject"))
    assert faults(lambda: made(house, vault, {})) == [("/fields/account_holder", "source.missing")]
    assert len(house.rows("vault.subject")) == people
    person = enroll(vault, named(house, "system"), {"given_name": "Ada"}, (terms("retail", channel="phone"),))
    change = (person.subject_id, person.agreements[0], {"account_holder": "Ada Neri"}, 1)
    assert faults(lambda: amend(vault, named(house, "system"), *change)) == [("/fields/account_holder", "source.missing")]
    assert rows_of(house, person.subject_id) == []
    assert house.rows("vault.subject", f"subject_id = '{person.subject_id}'", "version") == [(1,)]


def test_what_the_person_says_needs_no_source(house: Ledger, vault: Vault) -> None:
    hours = replace(vault.catalogue.fields["contact_hours"], origin="third-party")
    told = replace(vault, catalogue=replace(vault.catalogue, fields={**vault.catalogue.fields, "contact_hours": hours}))
    person = enroll(told, named(house, "system"), {"given_name": "Ada"}, (terms("retail", channel="phone"),))
    change = (person.subject_id, person.agreements[0], {"contact_hours": "dopo le 18"})
    assert faults(lambda: amend(told, named(house, "system"), *change, 1)) == [("/fields/contact_hours", "source.missing")]
    first = amend(told, named(house, "customer", subject_id=person.subject_id), *change, 1)
    amend(told, named(house, "system"), *change, first.version, own=True)
    assert rows_of(house, person.subject_id) == []


def test_with_a_source_the_month_of_the_law_begins(house: Ledger, vault: Vault) -> None:
    obtained = datetime(2026, 1, 31, 10, tzinfo=UTC)
    person = made(house, vault, {"account_holder": Sourced("agency", obtained)})
    assert rows_of(house, person.subject_id, "source, obtained_at, regime, due_at, told_at, entry_id") == [
        ("agency", obtained, "gdpr-14-3@1", datetime(2026, 2, 28, 22, 59, 59, 999999, tzinfo=UTC), None, person.entry_id)
    ]
    amended = amend(
        vault, named(house, "system"), person.subject_id, person.agreements[0], {"account_holder": "G. B."}, 1,
        {"account_holder": Sourced("registry")},
    )  # fmt: skip
    assert [one[:3] for one in rows_of(house, person.subject_id)] == [
        ("account_holder", 1, "agency"), ("account_holder", amended.version, "registry"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("sources", "fault"),
    [
        ({"iban": Sourced("agency")}, ("/sources/iban", "source.without-value")),
        ({"Giulia Bianchi": Sourced("agency")}, ("/sources", "source.without-value")),
        (
            {"given_name": Sourced("agency", datetime.now(UTC) + timedelta(days=1))},
            ("/sources/given_name/obtained_at", "instant.ahead"),
        ),
    ],
)
def test_a_source_is_of_a_value_and_of_the_past(
    house: Ledger, vault: Vault, sources: Mapping[str, Sourced], fault: tuple[str, str]
) -> None:
    assert faults(lambda: made(house, vault, {**AGENCY, **sources})) == [fault]


def test_a_notice_for_data_from_others_ends_it(house: Ledger, vault: Vault) -> None:
    enrolled = made(house, vault, given=NOTICE)
    assert [one[-1] for one in rows_of(house, enrolled.subject_id)] == [False]
    waiting = made(house, vault)
    before = Given("customers", 1, "it", None, datetime(2026, 1, 1, tzinfo=UTC))
    serve_notice(vault, named(house, "system"), waiting.subject_id, before)  # of what was obtained since it says nothing
    notice = vault.policy.notices["customers@1"]
    for_others = replace(vault.policy.bundle)
    for_others.__dict__["notices"] = {"customers@1": replace(notice, articles=(13,))}
    only_13 = replace(vault, policy=type(vault.policy)(for_others))
    serve_notice(only_13, named(house, "system"), waiting.subject_id, NOTICE)
    assert [one[-1] for one in rows_of(house, waiting.subject_id)] == [True]
    done = serve_notice(vault, named(house, "system"), waiting.subject_id, NOTICE)
    assert rows_of(house, waiting.subject_id, "told_by") == [(done.entry_id,)]


def test_of_what_the_law_keeps_from_the_person_nobody_is_told(house: Ledger, vault: Vault) -> None:
    kept = replace(vault, catalogue=replace(vault.catalogue, never_to_subject=frozenset({"account_holder"})))
    person = made(house, kept)
    assert rows_of(house, person.subject_id, "source, regime, due_at") == [("agency", None, None)]


def test_without_the_law_in_the_bundle_nothing_is_taken(house: Ledger, vault: Vault) -> None:
    policy = type(vault.policy)(vault.policy.bundle)
    policy.periods = ()
    with pytest.raises(Conflict, match="regime-not-in-bundle"):
        made(house, replace(vault, policy=policy))


def test_first_contact_and_first_disclosure_make_it_sooner(house: Ledger, vault: Vault) -> None:
    met, quiet = (made(house, vault).subject_id for _ in range(2))
    values, agreed = {**VALUES, "email": "g.b@example.it"}, (terms("retail", channel="phone"),)
    gone = enroll(vault, named(house, "system"), values, agreed, None, {**AGENCY, "email": Sourced("agency")}).subject_id
    ticket = make_ticket(vault, house.controller_id, met, "t1", "TCK-S1")
    disclose(vault, Ask(named(house, "t1", ticket=ticket), met, ("given_name",)))
    disclose(vault, Ask(named(house, "system"), gone, ("email",)))  # a token, to the helpdesk: nobody was met by that
    house.opened.trail.settle(house.controller_id)
    while project_disclosures(vault, house.controller_id):
        pass
    tell_sources(vault, house.controller_id)
    became = [dict(rows_of(house, one, "field, because")) for one in (met, gone, quiet)]
    assert became == [
        {"account_holder": "contacted"}, {"account_holder": "obtained", "email": "disclosed"}, {"account_holder": "obtained"},
    ]  # fmt: skip
    found, _ = show_sources(vault, named(house, "dpo"))
    due = {(one["subject_id"], one["field"]): one["overdue"] for one in found["sources"]}
    assert [due[met, "account_holder"], due[gone, "email"], due[quiet, "account_holder"]] == [True, True, False]


def test_alarms_come_before_the_day_and_once_each(vault: Vault, controller_id: str, opened: Opened) -> None:
    ledger = Ledger(opened, controller_id)
    register(opened.vault, controller_id, "system", "dpo")
    person = made(ledger, vault)
    ended = made(ledger, vault, given=NOTICE)
    ((due_at,),) = rows_of(ledger, person.subject_id, "due_at")
    whole = (due_at - vault.now()).days
    with capture_logs() as lines:
        days = (0, whole // 2 + 2, whole // 2 + 2, whole - 1, whole + 2, whole + 3)
        told = [tell_sources(later(vault, days=one), controller_id) for one in days]
    assert told == [0, 1, 0, 1, 1, 0]
    assert [line["code"] for line in lines if line["event"] == "source_due"] == ["half", "three-days", "overdue"]
    assert ledger.outcomes("source-alarm") == ["done"] * 3
    events = ledger.rows("vault.event", "name = 'source:alarm' ORDER BY at", "data")
    assert [one["subject_id"] for (one,) in events] == [person.subject_id] * 3
    assert rows_of(ledger, ended.subject_id, "alarm") == [(None,)]


def test_what_a_person_obscured_is_not_in_the_list(vault: Vault, controller_id: str, opened: Opened) -> None:
    register(opened.vault, controller_id, "system", "dpo")
    values = {"given_name": "Ada", "allergies": "penicillina"}
    agreed = (terms("health-insurance", channel="phone"),)
    sources = {"allergies": Sourced("clinic"), "given_name": Sourced("agency")}
    person = enroll(vault, make_context(controller_id, "system"), values, agreed, None, sources)

    def listed(**asked: Any) -> list[str]:
        return [one["field"] for one in show_sources(vault, make_context(controller_id, "dpo"), **asked)[0]["sources"]]

    assert sorted(listed()) == ["allergies", "given_name"]
    obscure(vault, make_context(controller_id, "customer", subject_id=person.subject_id), person.subject_id, ["allergies"])
    assert listed() == listed(only_open=False) == ["given_name"]
    with vault.database.snapshot(controller_id) as rows:
        assert [one.field for one in untold(rows, controller_id)] == ["given_name"]  # nor does an alarm tell of it
    serve_notice(vault, make_context(controller_id, "system"), person.subject_id, NOTICE)
    assert (listed(), listed(only_open=False)) == ([], ["given_name"])


def test_the_list_is_the_officer_s(house: Ledger, vault: Vault) -> None:
    with pytest.raises(AccessDenied):
        show_sources(vault, named(house, "system"))
    with pytest.raises(AccessDenied):
        show_sources(vault, named(house, "dpo", purpose="customer-care"))


def test_a_file_says_where_its_values_of_others_are_from(house: Ledger, vault: Vault, tmp_path: Path) -> None:
    fields = {**vault.catalogue.fields}
    fields["annual_income"] = replace(fields["annual_income"], origin="third-party")
    told_by_others = replace(vault, catalogue=replace(vault.catalogue, fields=fields))
    (tmp_path / "lines.csv").write_text(f"{HEADER}\n{GOOD}\n")

    def imported(**sources: Any) -> Any:
        (tmp_path / "mapping.yaml").write_text(yaml.safe_dump({**LAYOUT, "sources": sources}))
        return run_import(
            told_by_others, house.controller_id, tmp_path / "lines.csv", tmp_path / "mapping.yaml", report=tmp_path / "report.csv"
        )

    people = len(house.rows("vault.subject"))
    assert faults(imported) == [("/fields/annual_income", "mapping.source_missing")]
    unfit = {"annual_income": {"source": "bureau", "obtained_on": "2999-01-01"}, "balance": {"source": "bureau"}}
    assert faults(lambda: imported(**unfit)) == [
        ("/sources/annual_income", "mapping.instant_ahead"), ("/sources", "mapping.field_unknown"),
    ]  # fmt: skip
    assert faults(lambda: imported(annual_income={"source": "The Bureau"})) == [
        ("/sources/annual_income/source", "mapping.string_pattern_mismatch")
    ]
    assert len(house.rows("vault.subject")) == people
    assert imported(annual_income={"source": "bureau", "obtained_on": "2026-01-31"}, iban={"source": "bank"}).accepted == 1
    found = house.rows(
        "vault.data_source", "source IN ('bureau', 'bank') ORDER BY field", "field, source, regime, due_at::date::text"
    )
    assert found[0][:3] == ("annual_income", "bureau", "gdpr-14-3@1")
    assert found[0][3] in ("2026-02-28", "2026-03-01")  # in whatever zone the database tells days
    assert [one[0] for one in found] == ["annual_income", "iban"]


def test_of_what_is_no_more_nobody_is_told(house: Ledger, vault: Vault) -> None:
    agreed = (terms("marketing", channel="phone"),)
    person = enroll(vault, named(house, "system"), {"email": "x.y@example.it"}, agreed, None, {"email": Sourced("agency")})
    assert len(rows_of(house, person.subject_id)) == 1
    withdraw(vault, named(house, "customer", subject_id=person.subject_id), person.agreements[0], {})
    assert rows_of(house, person.subject_id) == []
