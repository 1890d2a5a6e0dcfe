"""Audit before reveal: when the trail, the database or the keys cannot do their part, every route answers 503 and shows nothing.

On a server and a keyring of its own, which each test breaks and mends. Canaries are values no answer may hold.
"""

import time
from collections.abc import Iterator
from contextlib import suppress

import psycopg
import pytest

from api.described import GUARDED
from api.main import bare_app
from tests.assurance.lone import KEY_LIFETIME_S, Lone, lonely
from vault.connectors.embedded_postgres import admin_url, start_embedded
from vault.errors import DatabaseUnavailable, KeysUnavailable
from vault.opening import open_keyring

OPENS_NOTHING = (  # texts of the bundle; digests; nobody's data
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


def test_when_an_entry_cannot_be_written_nothing_is_shown(lone: Lone) -> None:
    lone.expect_open()
    with psycopg.connect(admin_url(lone.server), autocommit=True) as owner:
        owner.execute(
            "CREATE FUNCTION vault.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;"
            " CREATE TRIGGER fail BEFORE INSERT ON vault.audit_pending FOR EACH ROW EXECUTE FUNCTION vault.fail()"
        )
        try:
            lone.expect_closed()
        finally:
            owner.execute("DROP TRIGGER fail ON vault.audit_pending; DROP FUNCTION vault.fail()")
    lone.expect_open()


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


def test_when_somebody_holds_the_log_nothing_is_shown(lone: Lone) -> None:
    lone.expect_open()
    with psycopg.connect(admin_url(lone.server)) as owner:
        owner.execute("LOCK TABLE vault.audit_pending IN ACCESS EXCLUSIVE MODE")
        lone.expect_closed("readProfile", "findSubjects", "revealFields", "explainDecision")
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
