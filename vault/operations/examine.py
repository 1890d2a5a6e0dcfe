"""Examine an installation: the checks of `riserbo doctor`, each with its own line. Nothing is changed, no value is read."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import sqlalchemy as sa

from vault.assembly import Vault
from vault.database import EVERY_CONTROLLER
from vault.errors import VaultError

HEAD = "0037"
WANTED = {
    "fsync": {"on"},
    "full_page_writes": {"on"},
    "synchronous_commit": {"on", "remote_write", "remote_apply"},
    "log_min_error_statement": {"panic"},
    "log_parameter_max_length": {"0"},
    "log_parameter_max_length_on_error": {"0"},
    "log_error_verbosity": {"terse"},
}
OLDEST_SERVER = 150_000
_SETTINGS = sa.text("SELECT name, setting FROM pg_settings WHERE name = ANY(:names)")
_VERSION = sa.text("SELECT current_setting('server_version_num')::int AS number")
_MIGRATION = sa.text("SELECT version_num FROM vault.migration")
_ROLES = sa.text(
    "SELECT rolname FROM pg_roles WHERE rolname IN ('riserbo_app', 'riserbo_sequencer', 'riserbo_signer')"
    " AND (rolsuper OR rolbypassrls OR rolcreaterole)"
)
_UNGUARDED = sa.text(
    "SELECT n.nspname || '.' || c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE n.nspname IN ('vault', 'keys') AND c.relkind IN ('r', 'p') AND c.relname <> 'migration'"
    " AND NOT (c.relrowsecurity AND c.relforcerowsecurity)"
)
# Rows beyond the partitions there are, or none for the month to come: whoever makes them has not run for months.
_BEHIND = sa.text(r"""
    SELECT c.relname || ' holds rows' FROM pg_class c
    WHERE c.relnamespace = 'vault'::regnamespace AND c.relname LIKE 'audit\_%\_rest' AND pg_relation_size(c.oid) > 0
    UNION ALL
    SELECT p.relname || ' lacks the month to come' FROM pg_class p
    WHERE p.relnamespace = 'vault'::regnamespace AND p.relname IN ('audit_detail', 'audit_lookup') AND p.relkind = 'p'
      AND (SELECT max(substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO \(''(\d+)''\)')::bigint)
           FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = p.oid)
          < extract(epoch FROM now() + interval '32 days') * 1000""")


@dataclass(frozen=True, slots=True)
class Check:
    """One line: what was looked at, whether it is right, and what is wrong or what it is.

    `warnings` are limits half passed; `age_s` is a figure that is neither right nor wrong; `do` the command that helps.
    """

    name: str
    ok: bool
    note: str = ""
    warnings: tuple[str, ...] = ()
    age_s: int | None = None
    do: str | None = None


def examine(vault: Vault, health: Callable[[], Sequence[Check]]) -> list[Check]:
    """Return every check: database, schema, rights, server settings, keys of each controller, and what `health` adds."""
    checks = [_guarded("database", lambda: _server(vault))]
    if not checks[0].ok:
        return [*checks, *health()]
    checks += [
        _guarded("migrations", lambda: _migrated(vault)),
        _guarded("roles", lambda: _none(vault, "roles", _ROLES)),
        _guarded("row security", lambda: _none(vault, "row security", _UNGUARDED)),
        _guarded("audit partitions", lambda: _none(vault, "audit partitions", _BEHIND)),
        *_settings(vault),
        *(_guarded(f"keys of {one}", partial(_keys, vault, one)) for one in vault.database.controllers()),
        Check("policy", True, vault.policy.digest),
    ]
    return [*checks, *health()]


def _guarded(name: str, look: Callable[[], Check]) -> Check:
    try:
        return look()
    except VaultError as error:
        return Check(name, False, error.code)


def _rows(vault: Vault, statement: sa.TextClause, **parameters: Any) -> Sequence[sa.Row[Any]]:
    return vault.database.read(EVERY_CONTROLLER, statement, parameters)


def _server(vault: Vault) -> Check:
    number = _rows(vault, _VERSION)[0].number
    return Check("database", number >= OLDEST_SERVER, f"PostgreSQL {number // 10_000}")


def _migrated(vault: Vault) -> Check:
    found = _rows(vault, _MIGRATION)[0].version_num
    return Check("migrations", found == HEAD, found if found == HEAD else f"{found}, wanted {HEAD}: run `riserbo migrate`")


def _none(vault: Vault, name: str, statement: sa.TextClause) -> Check:
    found = [str(row[0]) for row in _rows(vault, statement)]
    return Check(name, not found, ", ".join(found))


def _settings(vault: Vault) -> list[Check]:
    found = {row.name: row.setting for row in _rows(vault, _SETTINGS, names=list(WANTED))}
    return [Check(name, found.get(name) in wanted, str(found.get(name))) for name, wanted in WANTED.items()]


def _keys(vault: Vault, controller_id: str) -> Check:
    epoch, _ = vault.keys.current(controller_id)
    return Check(f"keys of {controller_id}", True, f"epoch {epoch}")
