"""Recovering by its two ways, on a running vault: a signer's state that is gone, and a writer whose chain is broken."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from tests.conftest import Controllers
from vault import tables
from vault.audit import records, recovering
from vault.audit.checkpoint import origin
from vault.audit.entry import Draft
from vault.connectors.signer_state import DirectorySignerState
from vault.errors import AuditUnavailable, Conflict, InvalidValue, NotFound
from vault.opening import Opened
from vault.operations.callers import Registration, register_caller
from vault.operations.recover import Decided, recover
from vault.permit import ReadPermit

DECIDED = Decided(("anna.verdi", "bruno.neri"), "the disk of the signer is gone")


def reached(condition: Callable[[], bool]) -> bool:
    ends_at = time.monotonic() + 20
    while not condition():
        if time.monotonic() > ends_at:
            return False
        time.sleep(0.05)
    return True


def act(opened: Opened, controller_id: str) -> None:
    """Anything that is an entry."""
    register_caller(opened.vault, controller_id, Registration("agent-1", ("t1",), "support"))


def closed(opened: Opened, controller_id: str) -> set[str]:
    """Return what closes the trail, by a look made now; the vault's own come each second."""
    assert opened.trail_health.look is not None
    opened.trail_health.look(controller_id)
    return set(opened.trail_health.state(controller_id).closed)


def test_a_signers_state_that_is_gone_is_recovered_from_its_list_and_the_copies(opened: Opened, controller_id: str) -> None:
    act(opened, controller_id)
    opened.trail.settle(controller_id)
    name = origin(opened.vault.settings.host, controller_id, 1)
    opened.state._place(name).unlink()
    assert reached(lambda: "signer-state-missing" in closed(opened, controller_id))
    done = opened.recover(controller_id, DECIDED)
    assert (done.era, done.beginning.lost, done.beginning.kept) == (2, 0, done.beginning.size)
    assert reached(lambda: not closed(opened, controller_id))
    act(opened, controller_id)
    opened.trail.settle(controller_id)
    assert opened.verify(controller_id).ok


def test_a_broken_writer_is_rejected_and_the_log_goes_on(opened: Opened, controllers: Controllers) -> None:
    controller_id = controllers()
    act(opened, controller_id)
    opened.trail.settle(controller_id)
    with psycopg.connect(opened.addresses.url) as owner:  # no sequencer gets at the log meanwhile
        owner.execute("SELECT FROM vault.audit_head WHERE controller_id = %s FOR UPDATE", (controller_id,))
        act(opened, controller_id)
        owner.execute("UPDATE vault.audit_pending SET mac = '' WHERE controller_id = %s", (controller_id,))
        found = owner.execute("SELECT writer_id FROM vault.audit_pending WHERE controller_id = %s", (controller_id,)).fetchall()
    assert reached(lambda: "chain-broken" in closed(opened, controller_id))
    with pytest.raises(Conflict, match="nothing-to-recover") as refusal:
        opened.reject(controller_id, "wrt_other", DECIDED)
    assert refusal.value.faults[0].code == f"broken: {found[0][0]}"
    gone = opened.reject(controller_id, found[0][0], DECIDED)
    assert gone.count == len(found)
    assert reached(lambda: not closed(opened, controller_id))

    act(opened, controller_id)  # by another writer
    opened.trail.settle(controller_id)
    assert opened.verify(controller_id).ok
    with psycopg.connect(opened.addresses.url) as owner:
        said = owner.execute(
            "SELECT convert_from(leaf, 'UTF8')::jsonb FROM vault.audit_entry WHERE controller_id = %s ORDER BY position",
            (controller_id,),
        ).fetchall()
    rejections = [leaf for (leaf,) in said if leaf["operation"] == "log-reject"]
    assert [(one["about"], one["count"]) for one in rejections] == [({"writer": gone.writer_id, "number": gone.number}, gone.count)]


def put_junk(opened: Opened, controller_id: str, writer_id: str = "wrt_junk") -> None:
    """One row that no sequencer takes, as whoever holds the rights of `riserbo_app` can write it."""
    blank: dict[type, object] = {bytes: b"", str: "-", int: 0, list: []}
    row = {one.name: blank[one.type.python_type] for one in tables.audit_pending.columns if not one.nullable}
    row |= {"controller_id": controller_id, "writer_id": writer_id, "number": 1}
    with opened.vault.database.transaction(controller_id) as rows:
        rows.execute(sa.insert(tables.audit_pending), row)


def lose_state(opened: Opened, controller_id: str) -> None:
    act(opened, controller_id)
    opened.trail.settle(controller_id)
    opened.state._place(origin(opened.vault.settings.host, controller_id, 1)).unlink()
    assert reached(lambda: "signer-state-missing" in closed(opened, controller_id))


def begin_era(opened: Opened, controller_id: str, ending: int = 1) -> None:
    """A recovery that was interrupted at once."""
    with opened.sequencing.transaction(controller_id) as rows:
        recovering.begin_era(rows, controller_id, ending, ending + 1)


def test_a_row_of_a_stranger_does_not_keep_an_era_from_beginning(opened: Opened, controllers: Controllers) -> None:
    controller_id = controllers()
    lose_state(opened, controller_id)
    begin_era(opened, controller_id)
    put_junk(opened, controller_id)
    done = opened.recover(controller_id, DECIDED)
    assert done.era == 2
    assert ("wrt_junk", 0, 1) in [(one.writer_id, one.number, one.count) for one in done.rejected]
    assert reached(lambda: not closed(opened, controller_id))
    act(opened, controller_id)
    opened.trail.settle(controller_id)
    assert opened.verify(controller_id).ok


def test_nor_does_one_that_comes_while_it_begins(opened: Opened, controllers: Controllers, monkeypatch: pytest.MonkeyPatch) -> None:
    controller_id = controllers()
    lose_state(opened, controller_id)
    begin_era(opened, controller_id)
    tools = opened._tools()
    record_all = tools.recorder.record_all

    def overtaken(controller_id: str, drafts: list[Draft]) -> list[ReadPermit]:
        monkeypatch.setattr(tools.recorder, "record_all", record_all)
        for writer_id in ("wrt_junk1", "wrt_junk2"):
            put_junk(opened, controller_id, writer_id)
        return record_all(controller_id, drafts)

    monkeypatch.setattr(tools.recorder, "record_all", overtaken)
    done = recover(opened.vault, tools, controller_id, DECIDED)
    assert done.era == 2
    assert [one.writer_id for one in done.rejected][-2:] == ["wrt_junk1", "wrt_junk2"]
    assert reached(lambda: not closed(opened, controller_id))
    opened.trail.settle(controller_id)
    assert opened.verify(controller_id).ok


def test_an_era_whose_second_entry_is_no_recovery_is_never_signed(opened: Opened, controllers: Controllers) -> None:
    controller_id = controllers()
    lose_state(opened, controller_id)
    begin_era(opened, controller_id)
    tools = opened._tools()
    tools.recorder.record(controller_id, Draft(entry_id="ent_x", operation="witness", outcome="done", kind="operator"))
    tools.recorder.close()
    tools.sequencer.drain(controller_id)
    with pytest.raises(AuditUnavailable):
        tools.signer.begin(controller_id)
    assert opened.recover(controller_id, DECIDED).era == 3
    assert reached(lambda: not closed(opened, controller_id))


def test_a_state_that_is_only_elsewhere_ends_no_era(opened: Opened, controllers: Controllers, tmp_path: Path) -> None:
    """A healthy log, and RISERBO_AUDIT_STATE unset in the operator's shell."""
    controller_id = controllers()
    act(opened, controller_id)
    opened.trail.settle(controller_id)
    assert reached(lambda: copied(opened, controller_id))
    empty = DirectorySignerState(tmp_path / "state")
    tools = replace(opened._tools(), state=empty)
    with pytest.raises(Conflict, match="signer-state-behind") as refusal:
        recover(opened.vault, tools, controller_id, DECIDED)
    assert [one.pointer for one in refusal.value.faults] == ["RISERBO_AUDIT_STATE"]
    assert str(opened.vault.settings.state) in refusal.value.faults[0].code
    assert closed(opened, controller_id) == set()
    opened.state._place(origin(opened.vault.settings.host, controller_id, 1)).unlink()
    listed = opened.vault.settings.state / "checkpoints.log"
    lines = listed.read_bytes()
    listed.write_bytes(b"".join(one for one in lines.splitlines(keepends=True) if controller_id.encode() not in one))
    with pytest.raises(Conflict, match="signer-state-behind"):
        opened.recover(controller_id, DECIDED)
    assert opened.recover(controller_id, replace(DECIDED, state_is_gone=True)).era == 2
    assert reached(lambda: not closed(opened, controller_id))


def copied(opened: Opened, controller_id: str) -> bool:
    with opened.vault.database.snapshot(controller_id) as rows:
        return bool(records.copies(rows, controller_id, 1))


@pytest.mark.parametrize(
    ("second", "code"),
    [
        (" ANNA.VERDI", "operators.not-two"),
        ("\uff41nna.verdi", "operators.not-two"),  # full width
        ("anna.verd\u0131\u200b", "operators.characters"),  # a space of no width
        ("anna.verdi\u00ad", "operators.characters"),  # a soft hyphen
        ("bruno\tneri", "operators.characters"),
        ("\u2003 ", "operators.not-two"),
        ("x" * 256, "operators.not-two"),
    ],
)
def test_two_operators_are_two_people(opened: Opened, controller_id: str, second: str, code: str) -> None:
    with pytest.raises(InvalidValue) as refusal:
        opened.recover(controller_id, Decided(("anna.verdi", second), DECIDED.reason))
    assert [(one.pointer, one.code) for one in refusal.value.faults] == [("/operators", code)]


def test_a_controller_without_a_log_has_nothing_to_recover(opened: Opened) -> None:
    with pytest.raises(NotFound):
        opened.recover("ctl-nobody", DECIDED)


def test_a_writer_is_not_rejected_in_a_log_that_went_back(opened: Opened, controller_id: str) -> None:
    opened.trail.settle(controller_id)
    with psycopg.connect(opened.addresses.url) as owner:
        owner.execute("UPDATE vault.audit_head SET size = size - 1 WHERE controller_id = %s", (controller_id,))
    with pytest.raises(Conflict, match="log-went-back"):
        opened.reject(controller_id, "wrt_x", DECIDED)
