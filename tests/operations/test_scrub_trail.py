"""The nightly scrub: what the owner of the database changed beside the log since yesterday is found, told, and on record."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from structlog.testing import capture_logs

from tests.operations.conftest import Ledger
from tests.operations.officers import VALUES, Office, make_office, text_of
from vault.errors import AuditUnavailable, Unreadable
from vault.opening import Opened
from vault.operations.examine import Check
from vault.operations.scrub_trail import OPERATION, Run, _since, runs, scrub_check
from vault.operations.verify_trail import _audit_versions

MONDAY = datetime(2026, 11, 23, 3, tzinfo=UTC)
SUNDAY = MONDAY - timedelta(days=1)


@pytest.fixture
def office(opened: Opened, controller_id: str) -> Office:
    return make_office(opened, controller_id)


def at_night(opened: Opened) -> Opened:
    """The vault on a night of the week that is no Sunday's."""
    now = opened.vault.now()
    when = now + timedelta(days=1) if now.weekday() == SUNDAY.weekday() else now
    return replace(opened, vault=replace(opened.vault, now=lambda: when))


def scrubbed(opened: Opened, ledger: Ledger) -> dict[str, Any]:
    """Scrub tonight and return what the entry of it says."""
    found = at_night(opened).scrub(ledger.controller_id)
    leaf = ledger.leaves(OPERATION)[-1]
    assert (leaf["count"], leaf["kind"], leaf["outcome"]) == (found, "job", "done")
    about: dict[str, Any] = leaf["about"]
    assert len(about["checks"]) == found
    return about


def line(opened: Opened, controller_id: str) -> Check:
    return next(one for one in opened.health() if one.name == f"scrub of {controller_id}")


def test_a_clean_log_raises_nothing_and_each_run_is_on_record(opened: Opened, office: Office, ledger: Ledger) -> None:
    office.read()
    assert line(opened, office.controller_id) == Check(f"scrub of {office.controller_id}", ok=True)
    with capture_logs() as lines:
        whole = scrubbed(opened, ledger)  # nobody ever read this log: everything is due
        office.read("t2")
        nightly = scrubbed(opened, ledger)
    assert [(one["whole"], one["checks"], one["first"]) for one in (whole, nightly)] == [(True, [], 0), (False, [], 0)]
    assert nightly["size"] > whole["size"]
    assert [one["code"] for one in lines if one["event"] == "trail_scrubbed"] == ["holds", "holds"]
    assert not [one for one in lines if one["log_level"] == "error"]
    shown = line(opened, office.controller_id)
    assert (shown.ok, shown.warnings, shown.do) == (True, (), None)
    assert shown.age_s is not None
    assert shown.age_s < 60


ATTACKS = {
    "details edited": ("UPDATE vault.audit_detail SET sealed = sha256(sealed)", "details"),
    "details of another": ("UPDATE vault.audit_detail SET subject_id = '-'", "subject-chain"),
    "details deleted": ("DELETE FROM vault.audit_detail", "details"),
    "details moved out of the day": ("UPDATE vault.audit_detail SET at = 5", "details"),
    "look-up row edited": ("UPDATE vault.audit_lookup SET outcome = 'refused'", "lookup"),
    "look-up row of another person": ("UPDATE vault.audit_lookup SET subject_id = 'sub_x'", "lookup"),
    "look-up row of another caller": ("UPDATE vault.audit_lookup SET caller_id = 'demo'", "lookup"),
    "look-up row deleted": ("DELETE FROM vault.audit_lookup", "lookup"),
    "look-up row moved out of the day": ("UPDATE vault.audit_lookup SET at = 5", "lookup"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_the_databases_owner_did_beside_the_log_is_found_by_night(
    opened: Opened, office: Office, ledger: Ledger, attack: str
) -> None:
    statement, check = ATTACKS[attack]
    opened.scrub(office.controller_id)
    entry_id = office.read()
    opened.trail.settle(office.controller_id)
    ledger.owner(f"{statement} WHERE controller_id = '{office.controller_id}' AND entry_id = '{entry_id}'")
    with capture_logs() as lines:
        about = scrubbed(opened, ledger)
    assert about["whole"] is False
    assert check in about["checks"]
    told = [one for one in lines if one["event"] == "trail" and one.get("step") == "scrub"]
    assert {one["code"] for one in told} == set(about["checks"])
    assert {one["log_level"] for one in told} == {"error"}
    shown = line(opened, office.controller_id)
    assert (shown.ok, shown.do) == (True, "riserbo audit verify")
    assert shown.warnings == tuple(about["checks"])
    assert not [one for one in (*VALUES.values(), office.person, "t1-1") if one in text_of([about, told])]


def test_keys_that_only_an_edited_entry_names_are_found_by_night(opened: Opened, office: Office, ledger: Ledger) -> None:
    office.read()
    first = ledger.leaves("writer-open")[0]
    leaf = orjson.dumps(first | {"about": first["about"] | {"mac_key": 9, "audit_secret": 9}}).hex()
    said = f"controller_id = '{office.controller_id}' AND position = 0"
    ledger.owner(f"SET session_replication_role = replica; UPDATE vault.audit_entry SET leaf = '\\x{leaf}' WHERE {said}")
    assert {"mac", "details", "lookup"} <= set(scrubbed(opened, ledger)["checks"])


def test_of_a_secret_renewed_often_every_version_may_be_a_writers(opened: Opened, controller_id: str) -> None:
    keys = opened.vault.keys

    class Versions:
        """Keys whose secret `audit` is at version 4, and whose first is `gone`, if any is."""

        gone = 0

        def secret(self, controller_id: str, purpose: str, version: int | None = None) -> Any:
            if version == self.gone:
                raise Unreadable
            return replace(keys.secret(controller_id, purpose), version=version or 4)

    renewed: Any = Versions()
    assert _audit_versions(replace(opened.vault, keys=renewed), controller_id) == [4, 3, 2, 1]
    renewed.gone = 2
    assert _audit_versions(replace(opened.vault, keys=renewed), controller_id) == [4, 3]


def test_a_run_that_cannot_be_recorded_has_told_what_it_found(opened: Opened, office: Office, ledger: Ledger) -> None:
    opened.trail.settle(office.controller_id)
    ledger.owner(f"DELETE FROM vault.audit_lookup WHERE controller_id = '{office.controller_id}' AND position = 1")
    opened.trail_health.judge(office.controller_id, "tried", stands=True)
    try:
        with capture_logs() as lines, pytest.raises(AuditUnavailable):
            opened.scrub(office.controller_id)
    finally:
        opened.trail_health.judge(office.controller_id, "tried", stands=False)
    assert "lookup" in {one.get("code") for one in lines if one["log_level"] == "error"}
    assert runs(opened.vault, office.controller_id) == []


def test_a_scrub_nobody_made_for_two_days_is_overdue(opened: Opened, controller_id: str) -> None:
    opened.scrub(controller_id)
    opened.trail.settle(controller_id)
    later = replace(opened.vault, now=lambda: opened.vault.now() + timedelta(days=3))
    assert scrub_check(later, controller_id).warnings == ("overdue",)


def test_a_row_that_says_to_be_of_a_scrub_is_judged_by_its_entry(opened: Opened, office: Office, ledger: Ledger) -> None:
    entry_id = office.read()
    opened.trail.settle(office.controller_id)
    said = f"operation = '{OPERATION}', caller_id = 'job:scrub'"
    ledger.owner(f"UPDATE vault.audit_lookup SET {said} WHERE controller_id = '{office.controller_id}' AND entry_id = '{entry_id}'")
    assert runs(opened.vault, office.controller_id) == []


MARK = "by-hand"
EDITS: dict[str, Any] = {
    "an instant no calendar has": {"at": 1 << 62},
    "an instant that is none": {"at": MARK},
    "no object": {"about": [MARK]},
    "no list": {"about": {"whole": True, "checks": 5}},
    "a text for a list": {"about": {"whole": True, "checks": MARK}},
    "numbers": {"about": {"whole": True, "checks": [5]}},
    "words of a person": {"about": {"whole": True, "checks": [f"{MARK}: call +39 06 5550"]}},
    "a long word": {"about": {"whole": True, "checks": [MARK * 6]}},
    "many words": {"about": {"whole": True, "checks": [MARK] * 41}},
    "whole, or so": {"about": {"whole": 1, "checks": []}},
    "nothing": {"about": {}},
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_record_of_a_scrub_is_none_and_nobody_reads_what_it_says(opened: Opened, ledger: Ledger, edit: str) -> None:
    opened.scrub(ledger.controller_id)
    leaf = orjson.dumps(ledger.leaves(OPERATION)[-1] | EDITS[edit]).hex()
    said = f"controller_id = '{ledger.controller_id}' AND position = (SELECT max(position) FROM vault.audit_lookup"
    said += f" WHERE controller_id = '{ledger.controller_id}' AND operation = '{OPERATION}')"
    ledger.owner(f"SET session_replication_role = replica; UPDATE vault.audit_entry SET leaf = '\\x{leaf}' WHERE {said}")
    assert runs(opened.vault, ledger.controller_id) == []
    shown = line(opened, ledger.controller_id)
    assert (shown.ok, shown.warnings, shown.age_s) == (True, (), None)
    assert MARK not in text_of(shown.note)


def test_everything_is_read_on_sundays_and_where_it_was_not_for_a_week() -> None:
    def run(days_ago: float, *, whole: bool) -> Run:
        return Run(MONDAY - timedelta(days=days_ago), whole, ())

    assert _since([], MONDAY) is None
    assert _since([Run(SUNDAY, True, ())], SUNDAY + timedelta(hours=1)) is None  # whatever the records say
    assert _since([run(0.9, whole=False), run(7.1, whole=True)], MONDAY) is None
    yesterday = MONDAY - timedelta(hours=25)
    assert _since([run(0, whole=False), run(1, whole=True)], MONDAY) == yesterday
    assert _since([Run(MONDAY + timedelta(days=900), True, ())], MONDAY) == yesterday  # a forged one hides nothing of the day
    assert _since([run(3, whole=True)], MONDAY) == yesterday - timedelta(days=3)  # two nights nobody worked
