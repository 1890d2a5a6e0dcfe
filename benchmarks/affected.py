"""Whose data one agent touched, in a long log: at once from look-up rows, and confirmed by every leaf.

`measure_affected` does it as the officer would, with the product's own operations, on a controller whose log is loaded. A loader
that wants people named, and not only counted, gives them keys: `tag_for` is the tag of a leaf, `keep_audit_keys` stores them.
"""

from collections.abc import Iterable
from datetime import timedelta
from hashlib import sha256
from statistics import median
from time import perf_counter

import sqlalchemy as sa

from vault import tables
from vault.assembly import Vault
from vault.audit import entry
from vault.keys import envelope
from vault.octets import b64u
from vault.operations.affected_query import Query
from vault.operations.callers import Registration, register_caller
from vault.operations.confirm_affected import confirm_affected
from vault.operations.list_affected import ask_confirmation, list_affected, show_affected
from vault.operations.report_breach import Report, open_breach
from vault.policy.model import Caller, Context

OFFICER = "bench-dpo"
ROUNDS = 5
WORDS = "misura di quanto tempo serve a sapere di chi erano i dati"


def measure_affected(vault: Vault, controller_id: str, caller: str, rounds: int = ROUNDS) -> dict[str, float]:
    """Return seconds for the list (median), counts, seconds for the pass and microseconds for each leaf.

    `unattributed` are entries whose person has no audit key here. The vault's trail must run. Raises AssertionError where the
    confirmed list is not the one that came at once: then a figure would mean nothing.
    """
    register_caller(vault, controller_id, Registration(OFFICER, ("dpo",), recipient="controller"))
    officer = Context(controller_id, Caller(OFFICER, "dpo", frozenset({"dpo"}), "riserbo"), "legal-compliance", "api")
    report = Report(vault.now() - timedelta(hours=1), ("confidentiality",), WORDS, WORDS)
    breach_id = open_breach(vault, officer, report).breach_id
    query = Query(caller=caller)
    took = []
    for _ in range(rounds):
        begun = perf_counter()
        listed = list_affected(vault, officer, breach_id, query, "note").told
        took.append(perf_counter() - begun)
    asked = ask_confirmation(vault, officer, breach_id, query)
    begun = perf_counter()
    read = confirm_affected(vault, controller_id)
    passed = perf_counter() - begun
    told = show_affected(vault, officer, breach_id, asked.list_id).told
    assert told["confirmed"]
    assert told["subjects"] == listed["subjects"]
    assert told["totals"] == listed["totals"]
    totals = listed["totals"]
    return {
        "affected_s": median(took), "affected_subjects": totals["subjects"], "affected_entries": totals["entries"],
        "affected_unattributed": totals["unattributed"], "confirm_s": passed, "confirm_leaves": read,
        "confirm_us_per_leaf": passed / max(1, read) * 1e6,
    }  # fmt: skip


def audit_key_of(subject_id: str) -> bytes:
    """Return the audit key of an invented person."""
    return sha256(b"benchmark audit key " + subject_id.encode()).digest()


def tag_for(subject_id: str, entry_id: str, previous: bytes, number: int = 1) -> str:
    """Return the tag of an invented person's leaf, with the number and tag before that stand in its detail row."""
    return b64u(entry.subject_tag(entry.chain_key(audit_key_of(subject_id), "open"), entry_id, number, previous))


def keep_audit_keys(vault: Vault, controller_id: str, people: Iterable[str]) -> None:
    """Store the audit keys of invented people, wrapped as theirs would be."""
    rows = []
    for subject_id in people:
        place = envelope.audit_key_place(controller_id, subject_id)
        epoch, wrap = vault.keys.wrap(controller_id, place, audit_key_of(subject_id))
        rows.append({"controller_id": controller_id, "subject_id": subject_id, "epoch": epoch, "wrap": wrap, "shred_after": None})
    with vault.database.transaction(controller_id) as transaction:
        transaction.execute(sa.insert(tables.subject_audit_key), rows)
