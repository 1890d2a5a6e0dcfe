"""Which rules a process decides by: confirmed, swapped as a whole, and none when it is not sure."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.conftest import Controllers
from tests.policy.deciders import KNOWN, digest_of, follows
from tests.policy.makers import altered, bundle, shipped_text
from vault.database import Database
from vault.errors import PolicyUnavailable
from vault.following import Following
from vault.opening import Opened
from vault.operations.activate import activate
from vault.policy.files import read_files
from vault.standing import UNCONFIRMED_S, Standing

SHIPPED = bundle().digest


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    text = shipped_text("limits.yaml").replace("hide_after_s: 60", "hide_after_s: 40")
    return altered(tmp_path_factory.mktemp("other"), {"limits.yaml": text})


class Clock:
    """A monotonic clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.at = 1_000.0

    def __call__(self) -> float:
        return self.at


@contextmanager
def standing_of(opened: Opened, database: Database, clock: Callable[[], float] = time.monotonic) -> Iterator[Standing]:
    made = Standing(database, opened.vault.keys, opened.rules, clock)
    yield made
    made.stop()


def bring(opened: Opened, controller_id: str, directory: Path) -> str:
    digest = digest_of(directory)
    note, files = follows(controller_id, digest, SHIPPED), read_files(directory)
    activate(opened.vault, controller_id, note, files, KNOWN, opened.trail.settle, lambda _: ())
    return digest


def code(standing: Standing, controller_id: str) -> str:
    with pytest.raises(PolicyUnavailable) as refusal:
        standing.in_force(controller_id)
    assert refusal.value.retry_after_s is not None
    return refusal.value.code


def until(holds: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < ends_at
        time.sleep(0.01)


def test_what_was_not_confirmed_for_five_seconds_decides_nothing(opened: Opened, app: Database, controller_id: str) -> None:
    opened.trail.settle(controller_id)
    clock = Clock()
    with standing_of(opened, app, clock) as standing:
        assert code(standing, controller_id) == "policy-unconfirmed"  # nobody has looked yet
        standing.look()
        clock.at += UNCONFIRMED_S
        assert standing.in_force(controller_id) is opened.rules
        assert standing.state(controller_id) == (True, f"1 {SHIPPED}")
        clock.at += 0.1
        assert code(standing, controller_id) == "policy-unconfirmed"
        assert standing.state(controller_id) == (False, "policy-unconfirmed")
        standing.look()
        assert standing.in_force(controller_id) is opened.rules


def test_a_database_that_is_away_confirms_nothing(opened: Opened, app: Database, controller_id: str) -> None:
    opened.trail.settle(controller_id)
    clock = Clock()
    with standing_of(opened, app, clock) as standing:
        standing.look()
        standing._database = Database("postgresql://nobody@/riserbo?host=/nonexistent", "riserbo_app")
        standing._thread.start()
        clock.at += UNCONFIRMED_S + 1
        time.sleep(0.2)
        assert code(standing, controller_id) == "policy-unconfirmed"


def test_who_is_told_follows_at_once_and_who_began_ends_with_what_it_had(
    opened: Opened, app: Database, controller_id: str, other: Path
) -> None:
    opened.trail.settle(controller_id)
    with standing_of(opened, app) as standing:
        standing.start()
        before = standing.in_force(controller_id)
        digest = bring(opened, controller_id, other)
        until(lambda: standing.state(controller_id)[1] == f"2 {digest}")
        after = standing.in_force(controller_id)
        assert (before.policy.digest, after.policy.digest) == (SHIPPED, digest)
        assert after.policy.limits.hide_after_s == 40
        assert len(after.policy._views) > 0  # tables of its own, warm


def test_where_nobody_is_told_the_poll_finds_it(
    opened: Opened, app: Database, controller_id: str, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As behind a pooler that drops LISTEN."""
    opened.trail.settle(controller_id)
    with standing_of(opened, app) as standing:
        monkeypatch.setattr("vault.standing._LISTEN", "SELECT 1")
        standing.start()
        digest = bring(opened, controller_id, other)
        begun = time.monotonic()
        until(lambda: standing.state(controller_id)[1] == f"2 {digest}")
        assert time.monotonic() - begun < 60


def test_a_connection_that_dies_is_made_anew(opened: Opened, app: Database, controller_id: str, other: Path) -> None:
    opened.trail.settle(controller_id)
    with standing_of(opened, app) as standing:
        standing.start()
        until(lambda: standing._listening is not None)
        first = standing._listening
        assert first is not None
        with psycopg.connect(opened.addresses.url, autocommit=True) as owner:
            owner.execute("SELECT pg_terminate_backend(%s)", (first.info.backend_pid,))
        until(lambda: standing._listening is not None and standing._listening is not first)
        digest = bring(opened, controller_id, other)
        until(lambda: standing.state(controller_id)[1] == f"2 {digest}")


def test_a_bundle_that_cannot_be_used_closes_its_controller_and_no_other(
    opened: Opened, app: Database, controllers: Controllers, other: Path
) -> None:
    controller_id, neighbour = controllers(), controllers()
    opened.trail.settle(neighbour)
    bring(opened, controller_id, other)
    with psycopg.connect(opened.addresses.url, autocommit=True) as owner:
        owner.execute("SET session_replication_role = replica")
        owner.execute(
            "UPDATE vault.policy_bundle SET archive = '' WHERE controller_id = %s AND digest <> %s", (controller_id, SHIPPED)
        )
    with standing_of(opened, app) as standing:
        standing.start()
        assert code(standing, controller_id) == "policy-bundle-unfit"
        assert standing.in_force(neighbour) is opened.rules


def test_a_bundle_whose_table_of_roles_does_not_come_out_is_not_used(
    opened: Opened, app: Database, controller_id: str, tmp_path: Path
) -> None:
    """Activated by somebody who tried nothing: each process tries again before it uses it."""
    text = shipped_text("tests/matrix/roles.yaml").replace("support-t1-contact", "support-t2-contact")
    bring(opened, controller_id, altered(tmp_path, {"tests/matrix/roles.yaml": text}))
    with standing_of(opened, app) as standing:
        standing.start()
        assert code(standing, controller_id) == "policy-bundle-unfit"


def test_a_table_that_differs_is_an_alarm_at_the_second_look(opened: Opened, app: Database, controller_id: str) -> None:
    opened.trail.settle(controller_id)
    with psycopg.connect(opened.addresses.url, autocommit=True) as owner:
        owner.execute("SET session_replication_role = replica")
        owner.execute("UPDATE vault.policy_activation SET note = 'x' WHERE controller_id = %s", (controller_id,))
    with standing_of(opened, app) as standing:
        standing.look()
        assert code(standing, controller_id) == "policy-table-differs"
        assert not standing._held[controller_id].told
        standing.look()
        assert standing._held[controller_id].told
        with psycopg.connect(opened.addresses.url, autocommit=True) as owner:
            owner.execute("SET session_replication_role = replica")
            owner.execute("UPDATE vault.policy_activation SET note = NULL WHERE controller_id = %s", (controller_id,))
        standing.look()
        assert standing.in_force(controller_id) is opened.rules


def test_a_controller_that_is_gone_and_rules_nobody_uses_are_let_go_of(
    opened: Opened, app: Database, controller_id: str, other: Path
) -> None:
    digest = bring(opened, controller_id, other)
    with standing_of(opened, app) as standing:
        standing.start()
        assert digest in standing._built
        with psycopg.connect(opened.addresses.url, autocommit=True) as owner:
            owner.execute("DELETE FROM vault.controller WHERE controller_id = %s", (controller_id,))
        until(lambda: controller_id not in standing._held and digest not in standing._built)
        assert SHIPPED in standing._built


def test_asking_what_is_in_force_reads_nothing(opened: Opened, controller_id: str) -> None:
    """It stands in the way of every read: no statement, no lock."""
    vault, standing = opened.vault, opened.standing
    assert vault.governed(controller_id) is vault
    with standing._looking:
        asked: list[object] = []
        asking = threading.Thread(target=lambda: asked.append(vault.governed(controller_id)))
        asking.start()
        asking.join(timeout=5)
        assert asked == [vault]


def test_who_left_the_register_is_not_looked_at_any_more(opened: Opened, app: Database, controllers: Controllers) -> None:
    gone, here = controllers(), controllers()
    following = Following(app, opened.vault.ledger)
    assert [following.state(one) for one in (gone, here)] == ["level", "level"]
    with psycopg.connect(opened.addresses.url, autocommit=True) as connection:
        connection.execute("DELETE FROM vault.controller WHERE controller_id = %s", (gone,))
    following.start()
    try:
        until(lambda: gone not in following._stands)
    finally:
        following.stop()
    assert following._stands == {here: "level"}
