"""The housekeeping of ended agreements: what the clock has ended loses its keys, whoever else is at it at the same time."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest
from structlog.testing import capture_logs

from tests.makers import make_context, make_subject
from tests.operations.conftest import Ledger
from vault.agreements import records as agreements
from vault.assembly import Vault
from vault.errors import DatabaseUnavailable
from vault.operations import expire as module
from vault.operations.expire import expire
from vault.operations.withdraw import withdraw

VALUES = {"given_name": "Giulia", "email": "giulia@example.it"}
AFTERWARDS = timedelta(days=3 * 366)


def later(vault: Vault) -> Vault:
    """Return the vault after every marketing consent has ended."""
    return replace(vault, now=lambda: vault.now() + AFTERWARDS)


def test_what_the_clock_has_ended_loses_its_keys_and_says_so(vault: Vault, controller_id: str, ledger: Ledger) -> None:
    ended = make_subject(vault, controller_id, VALUES, ("marketing",))
    kept = make_subject(vault, controller_id, VALUES, ("retail",))
    assert expire(vault, controller_id) == 0
    assert expire(later(vault), controller_id) == 1
    held = {holder for (holder,) in ledger.rows("keys.data_key_wrap", columns="holder_id")}
    assert ended.agreements[0] not in held
    assert kept.agreements[0] in held
    whose = f"subject_id = '{ended.subject_id}'"
    assert ledger.rows("vault.agreement_state", whose, "status, consent") == [("ended", "expired")]
    assert ledger.rows("vault.agreement_event", f"{whose} ORDER BY number", "kind, caller_id") == [
        ("given", "system-1"), ("expired", "job:expire"),
    ]  # fmt: skip
    for table in ("vault.profile_frame", "keys.data_key", "keys.blind_index", "vault.field_history"):
        assert ledger.rows(table, whose) == []
    events = {name for (name,) in ledger.rows("vault.event", f"data ->> 'subject_id' = '{ended.subject_id}'", "name")}
    assert events == {"subject:enrolled", "agreement:expired", "class:emptied"}
    assert ledger.outcomes("expire") == ["done"]


def test_many_are_ended_by_and_by(vault: Vault, controller_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 2)
    for _ in range(3):
        make_subject(vault, controller_id, VALUES, ("marketing",))
    assert [expire(later(vault), controller_id) for _ in range(3)] == [2, 1, 0]


@dataclass
class Interrupted:
    """A clock in whose second look somebody withdraws."""

    vault: Vault
    controller_id: str
    agreement_id: str
    looks: list[datetime] = field(default_factory=list)

    def __call__(self) -> datetime:
        at = self.vault.now() + AFTERWARDS
        self.looks.append(at)
        if len(self.looks) == 2:
            withdraw(self.vault, make_context(self.controller_id, "system"), self.agreement_id, {})
        return at


def test_what_somebody_withdraws_meanwhile_is_as_ended_as_it_can_be(vault: Vault, controller_id: str, ledger: Ledger) -> None:
    first = make_subject(vault, controller_id, VALUES, ("marketing",))
    second = make_subject(vault, controller_id, VALUES, ("marketing",))
    with vault.database.snapshot(controller_id) as rows:
        due = agreements.due(rows, controller_id, vault.now() + AFTERWARDS, 2)
    interrupted = Interrupted(vault, controller_id, due[0][1])
    assert expire(replace(vault, now=interrupted), controller_id) == 1
    states = dict(ledger.rows("vault.agreement_state", columns="agreement_id, status"))
    assert states == {due[0][1]: "withdrawn", due[1][1]: "ended"}
    assert states.keys() == {first.agreements[0], second.agreements[0]}
    assert sorted(ledger.outcomes("expire")) == ["done", "done", "failed"]


@pytest.mark.parametrize("first", [True, False])
def test_one_that_cannot_be_ended_keeps_no_other_alive(vault: Vault, controller_id: str, ledger: Ledger, first: bool) -> None:
    """Its end cannot be recorded: the person's audit key no longer opens."""
    for _ in range(2):
        make_subject(vault, controller_id, VALUES, ("marketing",))
    with vault.database.snapshot(controller_id) as rows:
        due = [subject for subject, _ in agreements.due(rows, controller_id, vault.now() + AFTERWARDS, 2)]
    spoilt, other = due if first else due[::-1]
    ledger.owner(f"UPDATE keys.subject_audit_key SET wrap = substr(wrap, 1, length(wrap) - 1) WHERE subject_id = '{spoilt}'")
    with capture_logs() as logged:
        assert expire(later(vault), controller_id) == 1
    assert dict(ledger.rows("vault.agreement_state", columns="subject_id, status")) == {spoilt: "in_force", other: "ended"}
    assert [(one["event"], one["subject_id"]) for one in logged if one["event"] == "not_expired"] == [("not_expired", spoilt)]


def test_when_the_trail_cannot_take_it_the_job_stops_and_is_repeated(vault: Vault, controller_id: str, ledger: Ledger) -> None:
    make_subject(vault, controller_id, VALUES, ("marketing",))
    refusing = f"CHECK (controller_id <> '{controller_id}')"
    ledger.owner(f"ALTER TABLE vault.agreement_event ADD CONSTRAINT refusing {refusing} NOT VALID")
    try:
        with pytest.raises(DatabaseUnavailable):
            expire(later(vault), controller_id)
    finally:
        ledger.owner("ALTER TABLE vault.agreement_event DROP CONSTRAINT refusing")
    assert expire(later(vault), controller_id) == 1
    assert ledger.outcomes("expire") == ["done", "failed", "done"]
