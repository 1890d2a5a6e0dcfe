"""Looking: an entry as it stands, an installation as it is. Nothing is changed, no value is read."""

from collections.abc import Callable
from dataclasses import replace

import psycopg
import pytest

from tests.conftest import Controllers
from tests.makers import make_context, make_subject, make_ticket, register
from tests.operations.conftest import Ledger
from vault.assembly import Vault
from vault.database import Database
from vault.errors import NotFound
from vault.opening import Opened
from vault.operations import examine as module
from vault.operations.disclose import disclose
from vault.operations.disclosure import Ask
from vault.operations.examine import WANTED, Check, examine
from vault.operations.show_entry import show_entry

# --- entries -------------------------------------------------------------------------------------------------------------------


def test_an_entry_is_shown_as_it_stands_and_without_its_details(
    vault: Vault, controller_id: str, controllers: Controllers, opened: Opened
) -> None:
    register(vault, controller_id, "t1")
    person = make_subject(vault, controller_id, {"given_name": "Giulia"})
    ticket = make_ticket(vault, controller_id, person.subject_id, "t1")
    shown = disclose(vault, Ask(make_context(controller_id, "t1", ticket=ticket), person.subject_id, ("given_name",)))
    opened.trail.settle(controller_id)
    entry = show_entry(vault, controller_id, shown.entry_id)
    assert entry["leaf"]["id"] == shown.entry_id
    assert entry["leaf"]["operation"] == "disclose"
    assert entry["position"] > 0
    assert not any(text in repr(entry) for text in (person.subject_id, "Giulia", ticket, "t1-1"))
    with pytest.raises(NotFound) as refusal:
        show_entry(vault, controllers(), shown.entry_id)
    assert refusal.value.code == "entry-not-found"


def test_an_entry_nobody_wrote_is_not_found(vault: Vault, controller_id: str) -> None:
    with pytest.raises(NotFound):
        show_entry(vault, controller_id, "ent_" + "a" * 26)


# --- the installation ------------------------------------------------------------------------------------------------------------


def by_name(checks: list[Check]) -> dict[str, Check]:
    return {one.name: one for one in checks}


def test_a_sound_installation_has_nothing_to_tell(opened: Opened, controller_id: str) -> None:
    checks = by_name(examine(opened.vault, opened.health))
    assert {name for name, one in checks.items() if not one.ok} == set()
    assert {"database", "migrations", "roles", "row security", "policy", "key_service", *WANTED} <= checks.keys()
    assert checks[f"keys of {controller_id}"].note == "epoch 1"
    assert checks["policy"].note == opened.vault.policy.digest


def test_a_database_that_is_away_is_one_line_and_the_rest_is_still_told(opened: Opened) -> None:
    away = Database("postgresql://nobody@/riserbo?host=/nonexistent", "riserbo_app")
    checks = examine(replace(opened.vault, database=away), lambda: [Check("beside", True)])
    assert checks == [Check("database", False, "database-unavailable"), Check("beside", True)]
    away.close()


def test_a_table_outside_row_security_a_setting_that_prints_values_and_a_role_too_mighty_are_named(
    opened: Opened, clone: Callable[[], str]
) -> None:
    url = clone()
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute("ALTER TABLE vault.ticket NO FORCE ROW LEVEL SECURITY")
        owner.execute("ALTER TABLE keys.token DISABLE ROW LEVEL SECURITY")
        name = owner.info.dbname
        owner.execute(f"ALTER DATABASE {name} SET log_min_error_statement = error".encode())
        owner.execute(f"ALTER DATABASE {name} SET log_error_verbosity = verbose".encode())
        owner.execute("INSERT INTO vault.controller VALUES ('keyless', 'Europe/Rome', '{it}', now())")
        owner.execute("UPDATE vault.migration SET version_num = '0001'")
        owner.execute("ALTER ROLE riserbo_signer CREATEROLE")
    looked_at = Database(url, "riserbo_app")
    try:
        checks = by_name(examine(replace(opened.vault, database=looked_at), list))
    finally:
        looked_at.close()
        with psycopg.connect(url, autocommit=True) as owner:
            owner.execute("ALTER ROLE riserbo_signer NOCREATEROLE")
    assert {name for name, one in checks.items() if not one.ok} == {
        "row security", "migrations", "roles", "log_min_error_statement", "log_error_verbosity", "keys of keyless",
    }  # fmt: skip
    assert sorted(checks["row security"].note.split(", ")) == ["keys.token", "vault.ticket"]
    assert checks["roles"].note == "riserbo_signer"
    assert checks["migrations"].note.startswith("0001, wanted")


def test_a_server_too_old_is_told(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "OLDEST_SERVER", 990_000)
    assert not examine(opened.vault, list)[0].ok


def test_examining_writes_no_entry(opened: Opened, ledger: Ledger) -> None:
    opened.trail.settle(ledger.controller_id)
    before = ledger.rows("vault.audit_entry")
    examine(opened.vault, opened.health)
    opened.trail.settle(ledger.controller_id)
    assert ledger.rows("vault.audit_entry") == before
