"""Who waits for the log holds no connection meanwhile: a pool has eight, and whoever works needs one."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from tests.makers import make_context, make_subject, register
from tests.operations.conftest import Ledger
from vault.assembly import Vault
from vault.audit.accesses import ChainRow
from vault.errors import AuditUnavailable
from vault.operations import affected, hand_over_accesses, show_accesses
from vault.operations.acting import Acting
from vault.operations.kept_entry import found_entry

NOWHERE = "ent_" + "z" * 26


@dataclass
class Clock:
    """A clock ten times as fast, which at each look at it notes how many connections are held."""

    vault: Vault
    controller_id: str
    held: list[int] = field(default_factory=list)

    def __call__(self) -> float:
        self.held.append(self.vault.database._pools[self.controller_id].engine.pool.checkedout())  # type: ignore[attr-defined]  # a QueuePool
        return time.monotonic() * 10


def _own_entry(vault: Vault, acting: Acting) -> object:
    return show_accesses.own_entry(vault, replace(acting, entry_id=NOWHERE))


def covering_checkpoint(vault: Vault, acting: Acting) -> object:
    behind = ChainRow(1, 1 << 40, 0, NOWHERE, None, 1, b"", b"")
    return hand_over_accesses.covering_checkpoint(vault, acting.context.controller_id, behind)


def _found_entry(vault: Vault, acting: Acting) -> object:
    return found_entry(vault, acting.context.controller_id, NOWHERE)


def _frozen(vault: Vault, acting: Acting) -> object:
    return affected.frozen(vault, acting.context.controller_id)


@pytest.mark.parametrize("wait", [_own_entry, covering_checkpoint, _found_entry, _frozen])
def test_who_waits_for_the_log_holds_no_connection(
    vault: Vault, controller_id: str, ledger: Ledger, wait: Callable[[Vault, Acting], object]
) -> None:
    register(vault, controller_id, "dpo")
    made = make_subject(vault, controller_id, {"given_name": "Anna"})
    acting = show_accesses.recorded(vault, make_context(controller_id, "dpo"), made.subject_id, "page")
    clock = Clock(vault, controller_id)
    stuck = f"'{controller_id}', 'wrt_stuck', 7, 5, '', '', NULL, '-', 0, ''"  # of a writer whose first is missing
    columns = "controller_id, writer_id, number, at, leaf, mac, sealed, subject_id, chain_number, chain_previous"
    ledger.owner(f"INSERT INTO vault.audit_pending ({columns}) VALUES ({stuck})")
    try:
        with pytest.raises(AuditUnavailable):
            wait(replace(vault, monotonic=clock), acting)
    finally:
        ledger.owner(f"DELETE FROM vault.audit_pending WHERE controller_id = '{controller_id}' AND writer_id = 'wrt_stuck'")
    assert len(clock.held) > 2
    assert clock.held.count(0) > len(clock.held) / 2  # other threads of the vault look at their things meanwhile
