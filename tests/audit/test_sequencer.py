"""Positions without gaps, chains that hold, tiles that fit: whoever sequences, however often it is killed."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.audit.makers import Log, draft, log_on, mac, now
from vault.audit import sequencer as sequencing
from vault.audit.merkle import Tree, leaf_hash
from vault.audit.records import head, tile_reader
from vault.audit.sequencer import Break, _cursor
from vault.errors import DatabaseUnavailable

ROOT = Path(__file__).parent.parent.parent


def entries(log: Log) -> list[Any]:
    return log.ask(
        "SELECT position, leaf, leaf_hash, mac FROM vault.audit_entry WHERE controller_id = %s ORDER BY position", log.controller_id
    )


def written(log: Log, count: int, people: int = 5) -> None:
    """One writer's entries: `count`, its opening and its end among them."""
    recorder = log.recorder()
    lane = recorder.open_lane(log.controller_id)
    lane.record_all([draft(f"sub-{n % people}") for n in range(count - 2)])
    lane.close()


def test_pending_entries_get_contiguous_positions_and_leave_nothing_behind(log: Log) -> None:
    written(log, 300)
    sequencer = log.sequencer()
    assert sequencer.waiting(log.controller_id)
    assert sequencer.drain(log.controller_id) == 300
    assert not sequencer.waiting(log.controller_id)
    rows = entries(log)
    assert [row[0] for row in rows] == list(range(300))
    assert all(leaf_hash(row[1]) == row[2] for row in rows)
    assert log.ask("SELECT era, size FROM vault.audit_head WHERE controller_id = %s", log.controller_id) == [(1, 300)]
    for table in ("audit_detail", "audit_lookup"):
        counted = log.ask(
            f"SELECT count(*), count(DISTINCT position) FROM vault.{table} WHERE controller_id = %s", log.controller_id
        )
        assert counted == [(300, 300)]


def test_the_tree_of_the_tiles_is_the_tree_of_the_leaves(log: Log) -> None:
    sequencer = log.sequencer(most=97)
    written(log, 700)
    assert sequencer.drain(log.controller_id) == 700
    hashes = [row[2] for row in entries(log)]
    with log.signing.snapshot(log.controller_id) as rows:
        at = head(rows, log.controller_id)
        assert at is not None
        tree = Tree(at.size, tile_reader(rows, log.controller_id, at))

        def plain(level: int, index: int) -> bytes:
            return b"".join(hashes[index * 256 : (index + 1) * 256]) if level == 0 else levels(hashes)[level - 1]

        assert tree.root() == Tree(700, plain).root()
    widths = log.ask(
        "SELECT level, idx, length(hashes) / 32 FROM vault.audit_tile WHERE controller_id = %s ORDER BY 1, 2", log.controller_id
    )
    assert widths == [(0, 0, 256), (0, 1, 256), (1, 0, 2)]


def levels(hashes: list[bytes]) -> list[bytes]:
    from vault.audit.merkle import fold  # noqa: PLC0415 - said where it is used, for it is what is tested

    return [b"".join(fold(hashes[at : at + 256]) for at in range(0, len(hashes) // 256 * 256, 256))]


def test_writers_are_merged_by_time_and_stay_in_order(log: Log) -> None:
    clock = [now()]
    recorder = log.recorder(now=lambda: clock[0])
    lanes = [recorder.open_lane(log.controller_id) for _ in range(3)]
    for step in range(6):
        clock[0] = clock[0].replace(microsecond=1000 * step)
        lanes[step % 3].record_all([draft(f"sub-{step}")])
    log.sequencer().drain(log.controller_id)
    leaves = [orjson.loads(row[1]) for row in entries(log)]
    assert [one["at"] for one in leaves] == sorted(one["at"] for one in leaves)
    for writer in {one["writer"] for one in leaves}:
        assert [one["number"] for one in leaves if one["writer"] == writer] == [1, 2, 3]
    for lane in lanes:
        lane.close()


def test_no_writer_starves_another(log: Log) -> None:
    written(log, 50)
    recorder = log.recorder()
    recorder.record(log.controller_id, draft("sub-1"))
    assert log.sequencer(most=20).run_once(log.controller_id) == 12  # ten of the many, both of the few


def test_daily_counts_add_up(log: Log) -> None:
    written(log, 10)
    log.sequencer().drain(log.controller_id)
    written(log, 10)
    log.sequencer().drain(log.controller_id)
    rows = log.ask(
        "SELECT operation, purpose, entries, clear_values FROM vault.audit_daily WHERE controller_id = %s ORDER BY 1",
        log.controller_id,
    )
    own = [(operation, "-", 2, 0) for operation in ("writer-close", "writer-open")]
    assert rows == [("disclose", "customer-care", 16, 16), *own]


def test_only_one_sequencer_works_at_a_time(log: Log) -> None:
    written(log, 10)
    with log.sequencing.transaction(log.controller_id) as rows:
        rows.exec_driver_sql("SELECT FROM vault.audit_head FOR UPDATE")
        assert log.sequencer().run_once(log.controller_id) == 0
    assert log.sequencer().run_once(log.controller_id) == 10


def test_a_sequencer_that_did_not_see_the_beginning_replays_the_keys(log: Log) -> None:
    lane = log.recorder().open_lane(log.controller_id)
    first = log.sequencer()
    for _ in range(4):
        lane.record_all([draft("sub-1"), draft("sub-2")])
        assert first.drain(log.controller_id)
        lane.record_all([draft("sub-1")])
        assert log.sequencer().drain(log.controller_id)
    lane.close()
    assert first.drain(log.controller_id) == 1
    assert log.health.state(log.controller_id).closed == ("not-measured",)


def test_a_head_of_another_size_than_the_tree_stops_the_log(log: Log) -> None:
    written(log, 10)
    sequencer = log.sequencer()
    log.ask("UPDATE vault.audit_head SET size = 5 WHERE controller_id = %s", log.controller_id)
    assert sequencer.run_once(log.controller_id) == 0
    assert sequencer.found_break(log.controller_id) == Break("", 0, "tree")
    log.ask("UPDATE vault.audit_head SET size = 0 WHERE controller_id = %s", log.controller_id)
    assert sequencer.run_once(log.controller_id) == 10


def test_rows_that_do_not_move_leave_everything_as_it_was(clone: Callable[[], str], tmp_path: Path) -> None:
    with log_on(clone(), tmp_path) as log:
        written(log, 10)
        log.ask("CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
        log.ask(
            "CREATE TRIGGER keep BEFORE DELETE ON vault.audit_pending FOR EACH ROW WHEN (OLD.number = 5) EXECUTE FUNCTION keep()"
        )
        sequencer = log.sequencer()
        assert sequencer.run_once(log.controller_id) == 0
        assert sequencer.found_break(log.controller_id) == Break("", 0, "moved")
        assert (len(log.pending()), entries(log)) == (10, [])


def test_only_the_bytes_that_were_checked_are_moved(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    written(log, 6)
    write = sequencing._write

    def edit_first(*given: Any) -> None:
        log.attack(
            "UPDATE vault.audit_pending SET leaf = replace(encode(leaf, 'escape'), 'allowed', 'refused')::bytea"
            f" WHERE controller_id = '{log.controller_id}' AND number = 3"
        )
        write(*given)

    monkeypatch.setattr(sequencing, "_write", edit_first)
    sequencer = log.sequencer()
    assert sequencer.run_once(log.controller_id) == 0
    assert sequencer.found_break(log.controller_id) == Break("", 0, "moved")
    assert entries(log) == []


def test_what_was_deleted_is_not_read_through(clone: Callable[[], str], tmp_path: Path) -> None:
    """Rows already moved stay in the pages of pending entries until they are vacuumed: a pass must not cost more with each."""
    with log_on(clone(), tmp_path) as log:
        log.ask("VACUUM ANALYZE vault.audit_pending")  # plans are made once, when it is empty, and kept
        about = {"controller": log.controller_id, "era": 1, "size": 0, "writer": "wrt_1", "most": 10_000}
        taken = {"writers": ["wrt_1"], "numbers": [1], "hashes": [b""]}
        reading: list[str] = []
        for statement in (sequencing._WAITING, sequencing._WRITERS, sequencing._PENDING, sequencing._MOVE):
            with log.sequencing.transaction(log.controller_id) as rows:
                plan = _cursor(rows).execute("EXPLAIN " + statement, about | taken).fetchall()
            reading += [line for (line,) in plan if "Scan" in line and "audit_pending" in line]
        assert len(reading) >= 4
        assert all("audit_pending_pkey" in line for line in reading), reading


def test_a_log_emptied_by_another_sequencer_is_no_fault(log: Log) -> None:
    with log.sequencing.transaction(log.controller_id) as rows:
        assert log.sequencer()._sequence(_cursor(rows), log.controller_id) == (0, [])


def test_a_database_that_fails_leaves_everything_as_it_was(clone: Callable[[], str], tmp_path: Path) -> None:
    with log_on(clone(), tmp_path) as log:
        written(log, 10)
        log.ask("ALTER TABLE vault.audit_daily RENAME TO gone")
        with pytest.raises(DatabaseUnavailable):
            log.sequencer().run_once(log.controller_id)
        assert len(log.pending()) == 10
        log.ask("ALTER TABLE vault.gone RENAME TO audit_daily")
        assert log.sequencer().run_once(log.controller_id) == 10


# --- chains that do not hold ---

ATTACKS: dict[str, tuple[str, str, int]] = {
    "edited": ("UPDATE vault.audit_pending SET leaf = replace(encode(leaf, 'escape'), 'allowed', 'refused')::bytea", "mac", 3),
    "mac edited": ("UPDATE vault.audit_pending SET mac = sha256(mac)", "mac", 3),
    "deleted inside": ("DELETE FROM vault.audit_pending", "number", 3),
    "moved in time": ("UPDATE vault.audit_pending SET at = at + 1", "previous", 3),
    "not an entry": ("UPDATE vault.audit_pending SET leaf = '[]'", "number", 3),
    "no json": ("UPDATE vault.audit_pending SET leaf = 'x'", "number", 3),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_pending_entry_somebody_touched_stops_the_log(log: Log, attack: str) -> None:
    written(log, 6)
    statement, what, number = ATTACKS[attack]
    log.attack(f"{statement} WHERE controller_id = '{log.controller_id}' AND number = {number}")
    sequencer = log.sequencer()
    assert sequencer.run_once(log.controller_id) == 0
    found = sequencer.found_break(log.controller_id)
    assert found is not None
    assert (found.number, found.what) == (number, what)
    assert entries(log) == []
    assert "chain-broken" in log.health.state(log.controller_id).closed


def test_an_entry_inserted_without_the_key_stops_the_log(log: Log) -> None:
    written(log, 6)
    log.attack(
        f"""INSERT INTO vault.audit_pending SELECT controller_id, 'wrt_forged', number, at, replace(replace(encode(leaf, 'escape'),
            writer_id, 'wrt_forged'), 'x', 'x')::bytea, mac, sealed, subject_id, chain_number, chain_previous, entry_id
            FROM vault.audit_pending WHERE controller_id = '{log.controller_id}' AND number = 1"""
    )
    sequencer = log.sequencer()
    assert sequencer.run_once(log.controller_id) == 0
    assert sequencer.found_break(log.controller_id) == Break("wrt_forged", 1, "mac")


def test_a_writer_under_a_mac_root_there_is_none_of_is_a_break_and_no_outage(log: Log) -> None:
    """Else the log stood still, and nobody was told where it is broken. Seen failing without the question."""
    recorder = log.recorder(mac_key=9)
    recorder.record(log.controller_id, draft("sub-1"))
    written(log, 2)
    sequencer = log.sequencer(mac=lambda name, message: None if name == "audit-mac/9" else mac(name, message))
    assert sequencer.run_once(log.controller_id) == 0
    found = sequencer.found_break(log.controller_id)
    assert found is not None
    assert (found.number, found.what) == (1, "mac")
    assert "chain-broken" in log.health.state(log.controller_id).closed


def test_an_entry_sequenced_before_is_not_taken_again(log: Log) -> None:
    recorder = log.recorder(lanes=1)
    recorder.record(log.controller_id, draft("sub-1"))
    log.attack(
        f"CREATE TABLE IF NOT EXISTS public.kept AS SELECT * FROM vault.audit_pending WHERE controller_id = '{log.controller_id}'"
    )
    sequencer = log.sequencer()
    assert sequencer.run_once(log.controller_id) == 2
    log.attack("INSERT INTO vault.audit_pending SELECT * FROM public.kept", "DROP TABLE public.kept")
    assert sequencer.run_once(log.controller_id) == 0
    found = sequencer.found_break(log.controller_id)
    assert found is not None
    assert (found.number, found.what) == (3, "number")


@pytest.mark.parametrize("other", ["origin", "mac_key", "operation"])
def test_a_writer_of_another_log_is_not_taken(log: Log, other: str) -> None:
    host = "elsewhere.example" if other == "origin" else "vault.example"
    recorder = log.recorder(origin_host=host, mac_key=2 if other == "mac_key" else 1)
    recorder.record(log.controller_id, draft("sub-1"))
    old, new = {"origin": ("", ""), "mac_key": ('"mac_key":2', '"mac_key":"2"'), "operation": ("writer-open", "writer-shut")}[other]
    log.attack(
        f"UPDATE vault.audit_pending SET leaf = replace(encode(leaf, 'escape'), '{old}', '{new}')::bytea"
        f" WHERE number = 1 AND controller_id = '{log.controller_id}'"
    )
    sequencer = log.sequencer()
    assert sequencer.run_once(log.controller_id) == 0
    found = sequencer.found_break(log.controller_id)
    assert found is not None
    assert (found.number, found.what) == (1, "mac")


def test_a_chain_made_whole_again_goes_on(log: Log) -> None:
    written(log, 6)
    log.attack(
        f"UPDATE vault.audit_pending SET writer_id = writer_id || '!' WHERE controller_id = '{log.controller_id}' AND number = 3"
    )
    sequencer = log.sequencer()
    assert sequencer.drain(log.controller_id) == 0
    log.attack(f"UPDATE vault.audit_pending SET writer_id = rtrim(writer_id, '!') WHERE controller_id = '{log.controller_id}'")
    assert sequencer.drain(log.controller_id) == 6
    assert sequencer.found_break(log.controller_id) is None
    assert "chain-broken" not in log.health.state(log.controller_id).closed


def test_two_sequencers_killed_again_and_again_lose_and_double_nothing(clone: Callable[[], str], tmp_path: Path) -> None:
    with log_on(clone(), tmp_path / "state") as log:
        done = tmp_path / "done"
        program = subprocess.Popen(
            [sys.executable, "-m", "tests.audit.sequencing", log.url, log.controller_id, "20", str(done)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
        )
        recorder = log.recorder()
        asked = [draft(f"sub-{n % 9}") for n in range(1200)]
        for at in range(0, len(asked), 20):
            recorder.record_all(log.controller_id, asked[at : at + 20])
            time.sleep(0.02)
        recorder.close()
        deadline = time.monotonic() + 30
        while log.pending() and time.monotonic() < deadline:
            time.sleep(0.05)
        done.touch()
        assert program.communicate(timeout=30)[0] == b"20\n"
        rows = entries(log)
        ids = [orjson.loads(row[1])["id"] for row in rows]
        assert [row[0] for row in rows] == list(range(len(rows)))
        assert len(set(ids)) == len(ids)
        assert {one.entry_id for one in asked} <= set(ids)
        log.signer().run_once(log.controller_id)
        assert log.verify().ok
