"""A log that begins its next era, and a writer whose rows are moved aside: what running processes do, and what stays provable."""

import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from tests.audit.makers import HOST, Log, chain_of, draft, leaves, log_on, vkey
from tests.audit.tampering import checks, on, store
from tests.audit.test_health import Clock
from vault.audit import recovering
from vault.audit.checkpoint import origin
from vault.audit.eras import Beginning
from vault.audit.health import TrailHealth
from vault.audit.merkle import Tree
from vault.audit.recorder import Recorder
from vault.audit.records import Head, head, tile_reader
from vault.audit.recovering import Rejected
from vault.audit.scan import GivenNote
from vault.audit.sequencer import Break
from vault.audit.signer import beginning_at, stand
from vault.connectors.signer_state import DirectorySignerState
from vault.errors import AuditUnavailable, Conflict


def next_era(log: Log, lost: int = 0, **other: object) -> Beginning:
    """What `riserbo audit recover` does to the log."""
    with log.sequencing.transaction(log.controller_id) as rows:
        at = recovering.lock(rows, log.controller_id)
        recovering.begin_era(rows, log.controller_id, at.era, at.era + 1)
    with log.sequencing.snapshot(log.controller_id) as rows:
        ended = recovering.frozen_before(rows, log.controller_id, at.era + 1)
        root = Tree(ended.size, tile_reader(rows, log.controller_id, ended)).root()
    last = log.state.last(origin(HOST, log.controller_id, at.era)) or ""
    given = {"size": ended.size, "root": root, "kept": ended.size, "lost": lost, "checkpoint": last, **other}
    beginning = Beginning(origin(HOST, log.controller_id, ended.era), **given)  # type: ignore[arg-type]
    recorder = log.recorder()
    recorder.record(
        log.controller_id, draft(operation="log-recover", kind="operator", about=beginning.about, fields={}, opens={}, details={})
    )
    recorder.close()
    log.sequencer(health=TrailHealth(time.monotonic)).drain(log.controller_id)
    log.signer().begin(log.controller_id)
    return beginning


def notes(log: Log) -> list[GivenNote]:
    return [GivenNote(f"era {era}", text) for era in (1, 2, 3) for text in log.state.notes(origin(HOST, log.controller_id, era))]


def cut(log: Log, size: int) -> None:
    """Put the log back to an earlier size, as yesterday's database would be."""
    rows = log.ask("SELECT leaf, mac FROM vault.audit_entry WHERE controller_id = %s ORDER BY position", log.controller_id)
    store(log, [(bytes(leaf), bytes(code)) for leaf, code in rows][:size])
    on(
        log,
        f"DELETE FROM vault.audit_detail WHERE @ AND position >= {size}",
        f"DELETE FROM vault.audit_lookup WHERE @ AND position >= {size}",
        "DELETE FROM vault.audit_writer WHERE @ AND NOT EXISTS (SELECT FROM vault.audit_entry e WHERE e.controller_id ="
        " audit_writer.controller_id AND e.leaf_hash = audit_writer.leaf_hash)",
    )


def written(log: Log, *people: str) -> Recorder:
    recorder = log.recorder(lanes=1)
    for one in people:
        recorder.record(log.controller_id, draft(one))
    log.settle()
    return recorder


def at(log: Log) -> Head:
    with log.app.snapshot(log.controller_id) as rows:
        found = head(rows, log.controller_id)
    assert found is not None
    return found


# --- a new era ---


def test_a_writer_of_the_era_that_ended_is_left_and_named(log: Log) -> None:
    recorder = written(log, "sub-1", "sub-2")
    next_era(log)
    recorder.record(log.controller_id, draft("sub-1", chain=chain_of("sub-1", 1, *log.head("sub-1"))))
    opened = [one for one in leaves(log) if one["operation"] == "writer-open"]
    assert [one["about"]["origin"] for one in opened] == [origin(HOST, log.controller_id, 2)]
    assert opened[0]["about"]["number"] == 3  # the writer of the old era, and its last entry there
    log.sequencer().drain(log.controller_id)
    assert log.head("sub-1")[0] == 1  # a person's chain begins anew
    recorder.close()
    log.sequencer().drain(log.controller_id)
    report = log.verify(notes=notes(log))
    assert report.ok, report
    assert [one.origin for one in report.before] == [log.origin]
    assert log.ask(
        "SELECT count(*) FROM vault.audit_writer WHERE controller_id = %s AND era = 1 AND NOT closed", log.controller_id
    ) == [(0,)]


def test_a_writer_of_the_era_that_ended_writes_no_last_entry(log: Log) -> None:
    recorder = written(log, "sub-1")
    next_era(log)
    recorder.close()
    assert log.pending() == []


def test_rows_of_an_era_that_ended_stop_the_log(log: Log) -> None:
    """A batch on its way while the era changed: it belongs to no log, and an operator decides."""
    recorder = written(log, "sub-1")
    recorder.record(log.controller_id, draft("sub-2"))
    late = log.ask("SELECT * FROM vault.audit_pending WHERE controller_id = %s", log.controller_id)
    next_era(log)
    assert log.pending() == []
    with psycopg.connect(log.url, autocommit=True) as connection:
        places = ", ".join(["%s"] * len(late[0]))
        connection.execute(f"INSERT INTO vault.audit_pending VALUES ({places})", late[0])
    sequencer = log.sequencer()
    assert sequencer.drain(log.controller_id) == 0
    found = sequencer.found_break(log.controller_id)
    assert found == Break(str(late[0][1]), 3, "era")


def test_the_watch_follows_into_the_new_era(log: Log) -> None:
    clock = Clock()
    recorder = log.recorder(lanes=1, monotonic=clock)
    recorder.record(log.controller_id, draft("sub-1"))
    log.settle()
    recorder.record(log.controller_id, draft("sub-1"))
    watch = log.watch(acknowledged=recorder.acknowledged)
    watch.look(log.controller_id)
    log.attack(f"UPDATE vault.audit_writer SET leaf_hash = sha256(leaf_hash) WHERE controller_id = '{log.controller_id}'")
    watch.look(log.controller_id)
    assert "lane-altered" in log.health.state(log.controller_id).closed
    next_era(log)  # the pending entry is moved aside: it will never be sequenced
    clock.at += 61
    watch.look(log.controller_id)
    assert log.health.state(log.controller_id).closed == ()
    assert recorder.acknowledged(log.controller_id).writers() == []


def test_a_process_that_does_not_record_follows_too(log: Log) -> None:
    written(log, "sub-1").close()
    log.settle()
    watch = log.watch()
    watch.look(log.controller_id)
    next_era(log)
    watch.look(log.controller_id)
    assert log.health.is_open(log.controller_id)


def test_what_was_pending_is_moved_aside_verbatim(log: Log) -> None:
    recorder = written(log, "sub-1")
    recorder.record_all(log.controller_id, [draft("sub-1"), draft("sub-2")])
    fresh = log.recorder(lanes=1)
    fresh.record(log.controller_id, draft("sub-3"))
    before = [(row[0], row[1], bytes(row[2]), bytes(row[3])) for row in log.pending()]
    next_era(log)
    after = log.ask(
        "SELECT writer_id, number, leaf, mac FROM vault.audit_rejected WHERE controller_id = %s ORDER BY 1, 2", log.controller_id
    )
    assert [(row[0], row[1], bytes(row[2]), bytes(row[3])) for row in after] == before
    with log.sequencing.snapshot(log.controller_id) as rows:
        found = recovering.rejected_in(rows, log.controller_id, 1)
    assert sorted((one.number, one.count) for one in found) == [(0, 2), (2, 2)]
    log.sequencer().drain(log.controller_id)
    assert log.verify(notes=notes(log)).ok


def test_an_era_is_begun_once(log: Log) -> None:
    written(log, "sub-1").close()
    next_era(log)
    with pytest.raises(Conflict, match="era-has-changed"), log.sequencing.transaction(log.controller_id) as rows:
        recovering.begin_era(rows, log.controller_id, 1, 2)
    with pytest.raises(AuditUnavailable):  # nor is one signed as begun that was
        log.signer().begin(log.controller_id)


def test_an_era_that_was_begun_and_not_signed_opens_nothing(log: Log) -> None:
    written(log, "sub-1").close()
    log.settle()
    watch = log.watch()
    watch.look(log.controller_id)
    with log.sequencing.transaction(log.controller_id) as rows:
        recovering.begin_era(rows, log.controller_id, 1, 2)
    watch.look(log.controller_id)
    assert log.health.state(log.controller_id).closed == ("signer-state-missing",)


def test_an_era_that_begins_while_it_is_looked_at_is_looked_at_again(log: Log) -> None:
    written(log, "sub-1").close()
    log.settle()

    class Turning(DirectorySignerState):
        def last(self, origin: str) -> str | None:
            if not turned:
                turned.append(origin)
                next_era(log)
            return super().last(origin)

    turned: list[str] = []
    with log.signing.snapshot(log.controller_id) as rows:
        standing = stand(rows, log.controller_id, HOST, Turning(log.state._directory), vkey)
    assert standing is not None
    assert (standing.head.era, standing.fault, standing.origin) == (2, None, origin(HOST, log.controller_id, 2))


def test_a_log_of_the_era_before_is_behind_although_nothing_of_it_is_missing(log: Log) -> None:
    """A copy from the instant before a recovery: as long as what was signed of it, and two histories if it were let go on."""
    written(log, "sub-1").close()
    size = log.settle().checkpoint.size
    next_era(log)
    on(log, f"UPDATE vault.audit_head SET era = 1, size = {size} WHERE @")
    log.watch().look(log.controller_id)
    assert log.health.state(log.controller_id).closed == ("head-behind",)


def test_a_log_that_went_back_is_not_sequenced_on(log: Log) -> None:
    written(log, "sub-1", "sub-2").close()
    size = log.settle().checkpoint.size
    cut(log, size - 1)
    log.watch().look(log.controller_id)
    log.recorder().record(log.controller_id, draft("sub-1", chain=chain_of("sub-1", 1, *log.head("sub-1"))))
    assert log.sequencer().run_once(log.controller_id) == 0
    assert at(log).size == size - 1


# --- verifying every era ---


@pytest.fixture
def recovered(log: Log) -> tuple[Log, Beginning]:
    """A log of twelve, signed at 8 and 12, put back to ten and recovered; three entries in its second era."""
    written(log, *(f"sub-{n % 3}" for n in range(6))).close()
    log.settle()
    written(log, *(f"sub-{n % 3}" for n in range(2))).close()
    assert log.settle().checkpoint.size == 12
    cut(log, 10)
    return log, next_era(log, lost=2)


def test_each_era_is_verified_against_its_own_checkpoints(recovered: tuple[Log, Beginning]) -> None:
    log, beginning = recovered
    report = log.verify(notes=notes(log))
    assert report.ok, report
    assert (report.lost, report.origin, beginning.kept) == (2, origin(HOST, log.controller_id, 2), 10)
    assert [(one.origin, one.size, one.checkpoints) for one in report.before] == [(log.origin, 10, 3)]
    first = report.before[0]
    assert first.size == 10


EDIT = (
    "UPDATE vault.audit_entry SET leaf = replace(encode(leaf, 'escape'), '{}', '{}')::bytea WHERE @ AND era = {} AND position = {}"
)
COPY = "INSERT INTO vault.audit_entry SELECT controller_id, 1, 10, leaf, leaf_hash, mac FROM vault.audit_entry"


@pytest.mark.parametrize(
    "attack",
    [
        EDIT.format("allowed", "refused", 1, 5),
        EDIT.format('"kept":10', '"kept":9', 2, 1),
        EDIT.format("log-recover", "log-reject", 2, 1),
        "DELETE FROM vault.audit_entry WHERE @ AND era = 1 AND position = 9",
        "DELETE FROM vault.audit_entry WHERE @ AND era = 1",
        "UPDATE vault.audit_entry SET era = 3 WHERE @ AND era = 1 AND position = 9",
        f"{COPY} WHERE @ AND era = 2 AND position = 0",
    ],
)
def test_an_era_that_ended_is_no_place_to_write(recovered: tuple[Log, Beginning], attack: str) -> None:
    log, _ = recovered
    on(log, attack)
    report = log.verify(notes=notes(log))
    assert not report.ok
    assert checks(report) & {"era", "mac"}


def test_what_a_recovery_did_not_know_of_is_not_forgiven(recovered: tuple[Log, Beginning]) -> None:
    """A checkpoint of the first era, signed by its key, beyond the one that the recovery names."""
    log, _ = recovered
    signed = log.signer()._release(log.origin, Head(1, 13), bytes(32))
    report = log.verify(notes=[*notes(log), GivenNote("given", signed.text)])
    assert checks(report.before[0]) == {"truncated"}
    gone = log.signer()._release(origin(HOST, log.controller_id, 2), Head(2, 500), bytes(32))
    assert "truncated" in checks(log.verify(notes=[*notes(log), GivenNote("given", gone.text)]))


def test_an_era_nobody_knows_any_more_must_have_been_given_up(recovered: tuple[Log, Beginning]) -> None:
    log, _ = recovered
    with log.sequencing.transaction(log.controller_id) as rows:
        recovering.begin_era(rows, log.controller_id, 2, 3)
    on(log, "DELETE FROM vault.audit_entry WHERE @ AND era = 2")
    report = log.verify(notes=notes(log))
    assert "era" in checks(report)


def test_a_note_that_is_none_is_refused_in_every_era(recovered: tuple[Log, Beginning]) -> None:
    log, _ = recovered
    for text in ("x", next(iter(notes(log))).text.replace(log.controller_id, "ctl-other")):
        assert checks(log.verify(notes=[*notes(log), GivenNote("given", text)])) == {"signature"}


# --- a broken chain ---


def test_a_broken_writers_rows_are_moved_aside_and_the_rest_goes_on(log: Log) -> None:
    clock = Clock()
    recorder = log.recorder(lanes=1, monotonic=clock)
    recorder.record_all(log.controller_id, [draft(f"sub-{n}") for n in range(5)])
    log.attack(f"UPDATE vault.audit_pending SET mac = '' WHERE controller_id = '{log.controller_id}' AND number = 4")
    other = log.recorder()
    other.record(log.controller_id, draft("sub-9"))
    sequencer, running = log.sequencer(), log.sequencer(health=log.health)
    assert (sequencer.drain(log.controller_id), running.drain(log.controller_id)) == (0, 0)
    found = sequencer.found_break(log.controller_id)
    assert found is not None
    with log.sequencing.transaction(log.controller_id) as rows:
        expected = recovering.rejectable(rows, log.controller_id, found.writer_id, found.number)
        assert expected == Rejected(found.writer_id, 3, 3)
        recovering.reject(rows, log.controller_id, expected)
    assert sequencer.drain(log.controller_id) == 3 + 2
    running.run_once(log.controller_id)  # in another process, which found nothing left to do
    assert "chain-broken" not in log.health.state(log.controller_id).closed
    watch = log.watch(acknowledged=recorder.acknowledged)
    clock.at += 61
    watch.look(log.controller_id)
    assert log.health.state(log.controller_id).closed == ()
    recorder.record(log.controller_id, draft("sub-1", chain=chain_of("sub-1", 1, *log.head("sub-1"))))
    assert {one["writer"] for one in leaves(log)} != {found.writer_id}


def test_rows_that_came_in_between_are_not_moved_unseen(log: Log) -> None:
    recorder = log.recorder(lanes=1)
    recorder.record(log.controller_id, draft("sub-1"))
    writer_id = leaves(log)[0]["writer"]
    with pytest.raises(Conflict, match="pending-has-changed"), log.sequencing.transaction(log.controller_id) as rows:
        recovering.reject(rows, log.controller_id, Rejected(writer_id, 0, 7))
    with pytest.raises(Conflict, match="pending-has-changed"), log.sequencing.transaction(log.controller_id) as rows:
        recovering.reject(rows, log.controller_id, Rejected("wrt_gone", 0, 1))
    assert len(log.pending()) == 2


def test_a_number_that_has_its_position_already_is_moved_aside_too(log: Log) -> None:
    recorder = log.recorder(lanes=1)
    recorder.record(log.controller_id, draft("sub-1"))
    again = log.ask("SELECT * FROM vault.audit_pending WHERE controller_id = %s AND number = 1", log.controller_id)
    log.sequencer().drain(log.controller_id)
    with psycopg.connect(log.url, autocommit=True) as connection:
        connection.execute(f"INSERT INTO vault.audit_pending VALUES ({', '.join(['%s'] * len(again[0]))})", again[0])
    sequencer = log.sequencer()
    assert sequencer.drain(log.controller_id) == 0
    found = sequencer.found_break(log.controller_id)
    assert found is not None
    with log.sequencing.transaction(log.controller_id) as rows:
        recovering.reject(rows, log.controller_id, recovering.rejectable(rows, log.controller_id, found.writer_id, found.number))
    assert log.pending() == []
    recorder.close()


def test_a_log_of_another_controller_is_not_touched(clone: Callable[[], str], tmp_path: Path) -> None:
    url = clone()
    with log_on(url, tmp_path) as one, log_on(url, tmp_path) as other:
        for log in (one, other):
            log.recorder().record(log.controller_id, draft("sub-1"))
        with one.sequencing.transaction(one.controller_id) as rows:
            recovering.begin_era(rows, one.controller_id, 1, 2)
        assert (one.pending(), len(other.pending())) == ([], 2)
        assert (at(one), at(other)) == (Head(2, 0), Head(1, 0))


def test_only_the_second_entry_of_an_era_says_what_it_ended(log: Log) -> None:
    written(log).close()
    next_era(log)

    def said(era: int, name: str) -> Beginning | None:
        with log.sequencing.snapshot(log.controller_id) as rows:
            return beginning_at(rows, log.controller_id, era, name)

    own = origin(HOST, log.controller_id, 2)
    assert said(2, own) is not None
    assert [said(1, origin(HOST, log.controller_id, 1)), said(2, origin(HOST, "ctl-other", 2)), said(7, own)] == [None] * 3
    for leaf in ("x", "[]"):
        log.attack(f"UPDATE vault.audit_entry SET leaf = '{leaf}' WHERE controller_id = '{log.controller_id}' AND era = 2")
        assert said(2, own) is None


def test_nothing_is_set_aside_once_another_recovery_was_faster(log: Log) -> None:
    with log.sequencing.transaction(log.controller_id) as rows, pytest.raises(Conflict, match="era-has-changed"):
        recovering.set_aside(rows, log.controller_id, 7, ())
