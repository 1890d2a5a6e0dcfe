"""Audit before reveal: when the trail, the database or the keys cannot do their part, every route answers 503 and shows nothing.

On a server and a keyring of its own, which each test breaks and mends. Canaries are values no answer may hold.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest

from api.described import GUARDED
from api.main import bare_app
from tests.assurance.lone import KEY_LIFETIME_S, Lone, lonely, openings
from tests.audit.cutting import Cutter, Mode, cutter
from vault import lanes
from vault.audit import group, health
from vault.connectors.embedded_postgres import admin_url, start_embedded
from vault.errors import AuditUnavailable, DatabaseUnavailable, KeysUnavailable
from vault.opening import assembled, open_keyring
from vault.operations import kept_entry
from vault.operations.disclose import disclose
from vault.operations.disclosure import Ask
from vault.settings import Settings

OPENS_NOTHING = (
    "/v1/notices",  # texts of the bundle; digests; nobody's data
    *("/v1/templates", "/v1/audit/checkpoint", "/v1/audit/consistency", "/v1/audit/counts"),
)


@pytest.fixture(scope="module")
def lone() -> Iterator[Lone]:
    """A vault of its own: what these tests do to it, no other test must meet."""
    with lonely() as own:
        yield own


def test_every_operation_of_the_api_is_tried(lone: Lone) -> None:
    routes = {
        operation["operationId"]
        for path, methods in bare_app().openapi()["paths"].items()
        if path.startswith(GUARDED) and not path.startswith(OPENS_NOTHING)
        for operation in methods.values()
    }
    assert set(lone.requests()) == routes


@contextmanager
def unwritable(lone: Lone, sqlstate: str) -> Iterator[None]:
    """Let every entry be refused by the database until the block ends."""
    with psycopg.connect(admin_url(lone.server), autocommit=True) as owner:
        owner.execute(
            "CREATE FUNCTION vault.fail() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN RAISE EXCEPTION SQLSTATE '{sqlstate}'; END $$;"
            " CREATE TRIGGER fail BEFORE INSERT ON vault.audit_pending FOR EACH ROW EXECUTE FUNCTION vault.fail()".encode()
        )
        try:
            yield
        finally:
            owner.execute("DROP TRIGGER fail ON vault.audit_pending; DROP FUNCTION vault.fail()")


@pytest.mark.parametrize("sqlstate", ["P0001", "53100"], ids=["refused", "disk full"])
def test_when_an_entry_cannot_be_written_nothing_is_shown(lone: Lone, sqlstate: str) -> None:
    lone.expect_open()
    with unwritable(lone, sqlstate):
        lone.expect_closed()
    lone.expect_open()


def test_no_setting_opens_anything_without_its_entry(lone: Lone) -> None:
    """Every switch there is, turned: reading still ends where its entry cannot be written."""
    lone.expect_open()
    switches = {name: not one.default for name, one in Settings.model_fields.items() if isinstance(one.default, bool)}
    assert {"allow_unsafe_database", "unbound_systems"} <= switches.keys()
    settings = lone.settings.model_copy(update=switches)
    context = replace(lone.desk.context("t2"), ticket_id=lone.ticket)
    with assembled(settings, lone.desk.opened.addresses, open_keyring(settings)) as other:
        ask = Ask(context, lone.subject_id, ("email",))
        assert disclose(other.vault, ask).fields["email"].value is not None
        with unwritable(lone, "53100"), openings() as opened, pytest.raises(AuditUnavailable):
            disclose(other.vault, ask)
        assert opened == []


def test_when_the_log_is_gone_nothing_is_shown(lone: Lone) -> None:
    lone.expect_open()
    with psycopg.connect(admin_url(lone.server), autocommit=True) as owner:
        owner.execute("ALTER TABLE vault.audit_pending RENAME TO audit_away")
        try:
            lone.expect_closed()
        finally:
            owner.execute("ALTER TABLE vault.audit_away RENAME TO audit_pending")
    lone.expect_open()


def test_when_the_log_may_not_be_written_nothing_is_shown(lone: Lone) -> None:
    lone.expect_open()
    with psycopg.connect(admin_url(lone.server), autocommit=True) as owner:
        owner.execute("REVOKE INSERT ON vault.audit_pending FROM riserbo_app")
        try:
            lone.expect_closed()
        finally:
            owner.execute("GRANT INSERT ON vault.audit_pending TO riserbo_app")
    lone.expect_open()


SOME = ("readProfile", "findSubjects", "revealFields", "explainDecision")


@pytest.mark.parametrize(
    ("held", "named"),
    [
        ("LOCK TABLE vault.audit_pending IN ACCESS EXCLUSIVE MODE", SOME),
        ("SELECT FROM vault.audit_subject_head FOR UPDATE", SOME[:3]),  # people's chain heads
        ("LOCK TABLE vault.audit_subject_head IN ACCESS EXCLUSIVE MODE", SOME[:3]),  # not even to be read
        pytest.param("LOCK TABLE vault.audit_pending IN ACCESS EXCLUSIVE MODE", (), marks=pytest.mark.drill),
    ],
    ids=["log", "heads", "heads, for readers too", "log, every route"],
)
def test_when_somebody_holds_the_log_nothing_is_shown(lone: Lone, held: str, named: tuple[str, ...]) -> None:
    lone.expect_open()
    with psycopg.connect(admin_url(lone.server)) as owner:
        owner.execute(held.encode())
        lone.expect_closed(*named)
    lone.expect_open()


@pytest.fixture
def cut(lone: Lone) -> Iterator[Cutter]:
    """A server between the recorder and its database, which meets each batch of entries and nothing else."""
    database, before = lone.desk.vault.database, lone.desk.vault.database._url
    real = Path(str(before.query["host"])) / ".s.PGSQL.5432"
    with TemporaryDirectory(prefix="cut") as directory, cutter(Path(directory), real, only=b"riserbo_write") as made:
        database._url = before.update_query_dict({"host": directory})
        connect_anew(lone)
        yield made
        made.mode, database._url = "pass", before
        connect_anew(lone)


def connect_anew(lone: Lone) -> None:
    """End every connection of the application, and wait until it reads again: lanes then have new ones, and so do pools."""
    with psycopg.connect(admin_url(lone.server), autocommit=True) as owner:
        owner.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'riserbo_app'")
    lone.expect_open()


@pytest.mark.parametrize(
    ("mode", "named"),
    [
        *(("cut-before", SOME), ("cut-within", ()), ("lost", SOME)),
        *(pytest.param(one, (), marks=pytest.mark.drill) for one in ("cut-before", "lost")),
    ],
)
def test_when_the_connection_breaks_around_a_commit_nothing_is_shown(
    lone: Lone, cut: Cutter, mode: Mode, named: tuple[str, ...]
) -> None:
    """Before it: nothing is sent. Within: all but the end of the exchange arrives. After it: nobody learns that it was done."""
    before, cut.mode, cut.cuts = lone.entries(), mode, 0
    lone.expect_closed(*named)
    asked, cut.mode = len(named or lone.requests()), "pass"
    assert cut.cuts >= asked
    written = lone.entries() - before
    assert written >= asked if mode == "lost" else written == 0  # to say too much is allowed
    lone.expect_open()


def test_an_answer_lost_after_its_commit_is_looked_up_and_given(lone: Lone, cut: Cutter) -> None:
    before, cut.mode, cut.cuts = lone.entries(), "cut-after", 0
    answer = lone.requests()["readProfile"]()
    cut.mode = "pass"
    assert (answer.status_code, cut.cuts, lone.entries() - before) == (200, 1, 1)


def test_when_more_wait_than_may_nothing_is_shown(lone: Lone, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both queues: of the lanes that disclose, and of those that record for every other verb, each of which is busy."""
    lone.expect_open()
    shared = lone.desk.vault.audit._group("lone")
    monkeypatch.setattr(lanes, "WAITING", 0)
    monkeypatch.setattr(group, "MOST_WAITING", 0)
    monkeypatch.setattr(shared, "_free", [])
    lone.expect_closed()
    monkeypatch.undo()
    lone.expect_open()


def test_when_nobody_sequences_or_signs_nothing_is_shown(lone: Lone, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both threads are dead, so nobody measures either: each asker does, and finds an entry that has waited for too long."""
    lone.expect_open()
    trail = lone.desk.opened.trail
    for one in (trail._stopping, trail._work, trail._due):
        one.set()
    try:
        for thread in trail._threads.values():
            thread.join()
        monkeypatch.setattr(health, "STALE_S", 0.05)
        monkeypatch.setattr(kept_entry, "LONGEST_WAIT_S", 0.1)  # three routes wait so long for entries to have their position
        assert lone.requests()["readProfile"]().status_code == 200
        monkeypatch.setattr(health, "OLDEST_PENDING_S", 0.3)
        time.sleep(0.4)
        lone.expect_closed()
        assert "oldest-pending" in lone.desk.opened.trail_health.state("lone").closed
    finally:
        monkeypatch.undo()
        trail._stopping.clear()
        trail._start_threads()
    lone.expect_open()


def test_when_the_log_went_back_behind_what_was_signed_nothing_is_shown(lone: Lone) -> None:
    lone.expect_open()
    with suppress(DatabaseUnavailable):  # a connection of before the server was stopped: only its first use says so
        lone.desk.opened.trail.settle("lone")
    lone.desk.opened.trail.settle("lone")
    with psycopg.connect(admin_url(lone.server), autocommit=True) as owner:
        owner.execute("UPDATE vault.audit_head SET size = size - 1")
        try:
            ends_at = time.monotonic() + 10
            while "head-behind" not in lone.desk.opened.trail_health.state("lone").closed:
                assert time.monotonic() < ends_at
                time.sleep(0.1)
            lone.expect_closed()
            line = {one["name"]: one for one in lone.desk.client.get("/readyz").json()["checks"]}["audit_trail of lone"]
            assert line == {"name": "audit_trail of lone", "ok": False, "warnings": [], "do": "riserbo audit recover"}
        finally:
            owner.execute("UPDATE vault.audit_head SET size = size + 1")
    lone.expect_open()


def test_when_the_keyring_cannot_be_read_for_longer_than_a_key_may_live_nothing_is_shown(lone: Lone) -> None:
    lone.expect_open()
    file, away = lone.settings.keyring / "keyring.json", lone.settings.home / "keyring.away"
    file.rename(away)
    try:
        time.sleep(KEY_LIFETIME_S * 1.5)
        lone.expect_closed()
        with pytest.raises(KeysUnavailable):
            open_keyring(lone.settings.model_copy(update={"database_url": "postgresql://elsewhere"}))
    finally:
        away.rename(file)
    lone.expect_open()


def test_when_the_database_stops_nothing_is_shown_and_it_heals_by_itself(lone: Lone) -> None:
    lone.expect_open()
    lone.server.cleanup()
    try:
        lone.expect_closed()
        assert lone.desk.client.get("/readyz").status_code == 503
    finally:
        start_embedded(lone.settings.data)
    lone.expect_open()
