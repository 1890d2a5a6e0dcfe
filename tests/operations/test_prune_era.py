"""A pruned era that a recovery began still says what it follows."""

from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

import benchmarks.trail_log as loader
from tests.conftest import making_controllers
from tests.operations.test_prune_trail import ENTRIES, LONG_AGO
from tests.operations.test_recover import DECIDED, act, closed, reached
from vault.audit import entry
from vault.audit.checkpoint import origin
from vault.audit.scan import GivenNote, Report
from vault.audit.verify import verify_log
from vault.fitting import CHECKPOINT_KEY
from vault.notes import VerifierKey
from vault.opening import Opened
from vault.policy.retention import BEFORE


def _verify(opened: Opened, controller_id: str) -> Report:
    host = opened.vault.settings.host
    notes = [GivenNote("state", text) for era in (1, 2) for text in opened.state.notes(origin(host, controller_id, era))]
    with opened.sequencing.transaction(controller_id) as rows:
        return verify_log(
            rows, controller_id, origin_host=host, notes=notes,
            vkey=lambda name: VerifierKey(name, opened.keyring.public_key(CHECKPOINT_KEY)),
            mac=lambda name, message: opened.keyring.mac(name, [message])[0], alone=True,
        )  # fmt: skip


def _lose_the_last(opened: Opened, controller_id: str) -> None:
    """Take the last signed entry away, and make the rest of the database fit."""
    with psycopg.connect(opened.addresses.url, autocommit=True) as owner:
        owner.execute("SET session_replication_role = replica")
        asked = {"controller": controller_id}
        (size,) = owner.execute("SELECT size FROM vault.audit_head WHERE controller_id = %(controller)s", asked).fetchone() or (0,)
        asked |= {"last": size - 1, "before": size - 2}
        own = "controller_id = %(controller)s AND position = %(last)s"
        for table in ("audit_entry", "audit_detail", "audit_lookup"):
            owner.execute(f"DELETE FROM vault.{table} WHERE {own}".encode(), asked)
        owner.execute(
            f"""UPDATE vault.audit_writer w SET number = number - 1, position = %(before)s, leaf_hash = (SELECT leaf_hash
            FROM vault.audit_entry e WHERE e.controller_id = w.controller_id AND e.position = %(before)s) WHERE {own}""".encode(),
            asked,
        )
        owner.execute("UPDATE vault.audit_head SET size = size - 1 WHERE controller_id = %(controller)s", asked)


def _load(opened: Opened, controller_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Load a stretch and more into the second era."""
    copied = loader._copied

    def second(connection: psycopg.Connection, rows: dict[str, list[str]]) -> None:
        changed: dict[str, list[str]] = {}
        for table, lines in rows.items():
            columns = [name.strip() for name in loader.COPIED[table].split(",")]
            cells = [line.rstrip("\n").split("\t") for line in lines]
            if "era" in columns:
                at = columns.index("era")
                cells = [[*one[:at], "2", *one[at + 1 :]] for one in cells]
            changed[table] = ["\t".join(one) + "\n" for one in cells]
        copied(connection, changed)

    monkeypatch.setattr(loader, "_copied", second)
    secret = opened.vault.keys.secret(controller_id, "audit")
    keys = loader.Keys(
        controller_id,
        origin(opened.vault.settings.host, controller_id, 2),
        lambda writer: opened.keyring.mac("audit-mac/1", [entry.first_mac_message(controller_id, writer)])[0],
        secret.key,
        secret.version,
    )
    with psycopg.connect(opened.addresses.url, autocommit=True) as owner:
        known = owner.execute(
            "SELECT leaf_hash FROM vault.audit_entry WHERE controller_id = %s AND era = 2 ORDER BY position", (controller_id,)
        ).fetchall()
        made = loader.Made(keys, ENTRIES, [bytes(one) for (one,) in known], datetime.now(UTC) - LONG_AGO)
        loader.load(owner, made, made.total, lambda _: None)
    opened.trail.settle(controller_id)


@pytest.mark.drill  # a log is pruned by 65,536 entries, and here they must first be loaded into an era of its own
def test_a_pruned_era_says_what_it_follows(opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with making_controllers(opened) as make:
        controller_id = make()
        act(opened, controller_id)
        act(opened, controller_id)
        opened.trail.settle(controller_id)
        _lose_the_last(opened, controller_id)
        assert reached(lambda: "head-behind" in closed(opened, controller_id))
        assert opened.recover(controller_id, DECIDED).beginning.lost == 1
        assert reached(lambda: not closed(opened, controller_id))
        act(opened, controller_id)
        opened.trail.settle(controller_id)
        _load(opened, controller_id, monkeypatch)
        before = _verify(opened, controller_id)
        assert (before.ok, before.lost) == (True, 1), before
        assert opened.prune(controller_id, datetime.now(UTC) - BEFORE["trail"].days, tmp_path) is not None
        after = _verify(opened, controller_id)
        assert (after.ok, after.lost) == (True, 1), after
        with psycopg.connect(opened.addresses.url, autocommit=True) as owner:
            owner.execute("SET session_replication_role = replica")
            owner.execute(
                "UPDATE vault.audit_pruned SET about = jsonb_set(about, '{begins,lost}', '0') WHERE controller_id = %s",
                (controller_id,),
            )
        assert "prune" in {one.check for one in _verify(opened, controller_id).findings}
