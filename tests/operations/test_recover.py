"""Recovering by its two ways, on a running vault: a signer's state that is gone, and a writer whose chain is broken."""

import time
from collections.abc import Callable

import psycopg
import pytest

from tests.conftest import Controllers
from vault.audit.checkpoint import origin
from vault.errors import Conflict, NotFound
from vault.opening import Opened
from vault.operations.callers import Registration, register_caller
from vault.operations.recover import Decided

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


def test_a_controller_without_a_log_has_nothing_to_recover(opened: Opened) -> None:
    with pytest.raises(NotFound):
        opened.recover("ctl-nobody", DECIDED)


def test_a_writer_is_not_rejected_in_a_log_that_went_back(opened: Opened, controller_id: str) -> None:
    opened.trail.settle(controller_id)
    with psycopg.connect(opened.addresses.url) as owner:
        owner.execute("UPDATE vault.audit_head SET size = size - 1 WHERE controller_id = %s", (controller_id,))
    with pytest.raises(Conflict, match="log-went-back"):
        opened.reject(controller_id, "wrt_x", DECIDED)
