"""What the first entries of an era say of the one before, and how much of a log a recovery may call its own."""

from typing import Any

import orjson
import pytest

from tests.audit.makers import HOST, SIGNING, Log, public_key
from vault.audit import verify_records
from vault.audit.checkpoint import Checkpoint, note_text, origin
from vault.audit.eras import Beginning, beginning_of, era_of, kept_of, repeated_by
from vault.audit.pruned import Pruned
from vault.audit.verify import _beginning
from vault.notes import VerifierKey


def name(era: int) -> str:
    return origin(HOST, "ctl-1", era)


def note(era: int, size: int) -> str:
    point = Checkpoint(name(era), size, bytes(32))
    return note_text(point, [VerifierKey(name(era), public_key("")).line(SIGNING.sign(point.body.encode()))])


def beginning(**other: Any) -> Beginning:
    given: dict[str, Any] = {"origin": name(1), "size": 80, "root": bytes(32), "kept": 80, "lost": 20, "checkpoint": note(1, 100)}
    return Beginning(**(given | other))


def test_a_beginning_reads_back_as_it_was_written() -> None:
    for one in (beginning(), beginning(checkpoint="")):
        assert beginning_of({"operation": "log-recover", "about": one.about}) == one


@pytest.mark.parametrize(
    "members",
    [
        None,
        {},
        {"operation": "writer-open", "about": beginning().about},
        {"operation": "log-recover"},
        {"operation": "log-recover", "about": {**beginning().about, "size": "80"}},
        {"operation": "log-recover", "about": {**beginning().about, "lost": -1}},
        {"operation": "log-recover", "about": {**beginning().about, "kept": True}},
        {"operation": "log-recover", "about": {**beginning().about, "root": "*"}},
        {"operation": "log-recover", "about": {**beginning().about, "checkpoint": "x"}},
    ],
)
def test_what_is_no_beginning_says_nothing(members: dict[str, Any] | None) -> None:
    assert beginning_of(members) is None


def test_a_pruning_repeats_what_the_era_follows() -> None:
    pruned = Pruned(1 << 16, bytes(32), begins=beginning().about)
    assert repeated_by({"operation": "log-prune", "about": pruned.about}) == beginning()
    for members in (
        None,
        {"operation": "log-prune"},
        {"operation": "log-prune", "about": Pruned(1 << 16, bytes(32)).about},
        {"operation": "log-prune", "about": {"begins": [1]}},
        {"operation": "log-recover", "about": pruned.about},
        {"operation": "log-recover", "about": beginning().about},
    ):
        assert repeated_by(members) is None


@pytest.mark.parametrize(
    ("one", "era", "size", "gone"),
    [
        (beginning(), 1, 80, False),
        (beginning(), 1, 81, True),
        (beginning(), 1, 100, True),
        (beginning(), 1, 101, False),  # signed after what the recovery knew: it gave up nothing of it
        (beginning(), 2, 1, False),
        (beginning(checkpoint=note(2, 30)), 2, 30, True),
        (beginning(checkpoint=note(2, 30)), 2, 31, False),
        (beginning(checkpoint=note(2, 30)), 1, 500, True),
        (beginning(checkpoint=note(2, 30)), 1, 80, False),
        (beginning(checkpoint=""), 1, 90, False),
    ],
)
def test_a_recovery_gives_up_what_it_says_and_no_more(one: Beginning, era: int, size: int, gone: bool) -> None:
    assert one.gave_up(name(era), size) is gone


def test_the_era_is_the_last_part_of_an_origin() -> None:
    assert [era_of(one) for one in (name(12), "vault.example/audit/ctl-1/x", "")] == [12, 0, 0]


def roots(size: int) -> bytes:
    if size > 60:
        raise ValueError("a tile lacks hashes")
    return b"%032d" % size


def points(*sizes: int, wrong: tuple[int, ...] = ()) -> list[Checkpoint]:
    return [Checkpoint(name(1), size, bytes(32) if size in wrong else b"%032d" % size) for size in sizes]


@pytest.mark.parametrize(
    ("known", "kept"),
    [
        (points(), 80),
        (points(10, 50, 100), 80),
        (points(50, 10, 20, wrong=(50,)), 20),
        (points(10, 20, wrong=(10, 20)), 0),
        (points(10, 50, 70), 50),  # the tree cannot be read so far
    ],
)
def test_a_log_is_what_was_signed_up_to_the_last_checkpoint_that_holds(known: list[Checkpoint], kept: int) -> None:
    assert kept_of(80, roots, known) == kept


def test_a_pruned_era_says_what_it_follows_where_it_was_pruned(log: Log) -> None:
    followed = beginning()
    about = orjson.dumps(Pruned(1 << 16, bytes(32), begins=followed.about).about).decode()
    log.ask(
        "INSERT INTO vault.audit_pruned (controller_id, era, bound, about, pruned_at, entry_id)"
        " VALUES (%s, 2, 65536, %s, now(), 'ent_pruned')",
        log.controller_id,
        about,
    )
    with log.sequencing.transaction(log.controller_id) as rows:
        assert _beginning(verify_records.Log(rows, log.controller_id, 2)) == followed
        assert _beginning(verify_records.Log(rows, log.controller_id, 3)) is None
