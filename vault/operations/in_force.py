"""Which bundle is in force for a controller: the table of activations, compared with what the trail says came into force.

The trail is the witness: a row nobody recorded, a row that says something else, or one that is gone, and nothing is in force until
somebody has looked. Each row bears a MAC of the controller's too, so who can write both tables and trail, and has no key, puts
nothing in force. Shared by whoever activates and by running processes.
"""

import hmac
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from vault.audit import records as audit
from vault.audit.scan import members_of
from vault.database import Database
from vault.errors import PolicyUnavailable, Unreadable
from vault.keys.controller_keys import ControllerKeys
from vault.policy import records as policies
from vault.policy.records import ActivationRow

NEVER, DIFFERS = "policy-never-activated", "policy-table-differs"
PURPOSE = "settings"  # of the controller's secrets


def in_force(database: Database, keys: ControllerKeys, controller_id: str) -> ActivationRow:
    """Return the activation in force. Raises KeysUnavailable.

    Raises PolicyUnavailable: `policy-never-activated`, or `policy-table-differs` when table and trail say different things, or
    nobody who holds the controller's keys wrote a row.
    """
    held = activations(database, keys, controller_id)
    if not held:
        raise PolicyUnavailable(NEVER)
    return held[-1]


def activations(database: Database, keys: ControllerKeys, controller_id: str) -> Sequence[ActivationRow]:
    """Return everything that came into force, the first one first. Raises PolicyUnavailable `policy-table-differs`."""
    with database.snapshot(controller_id) as rows:
        told, held = recorded(rows, controller_id), policies.activations(rows, controller_id)
        archived = _archived(rows, controller_id)
    if [(one.said, one.entry_id) for one in held[archived:]] != told or not all(
        _is_authentic(one, keys, controller_id) for one in held
    ):
        raise PolicyUnavailable(DIFFERS)
    return held


def authenticated(row: ActivationRow, keys: ControllerKeys, controller_id: str) -> ActivationRow:
    """Return the row with its MAC under the controller's current secret."""
    secret = keys.secret(controller_id, PURPOSE)
    return policies.authentic(row, controller_id, secret.key, secret.version)


def _archived(rows: Connection, controller_id: str) -> int:
    """Return of how many of the first activations the entries are archived: their rows have the MAC alone to speak for them."""
    return sum(one.activations for one in audit.pruned_eras(rows, controller_id))


def _is_authentic(row: ActivationRow, keys: ControllerKeys, controller_id: str) -> bool:
    try:
        secret = keys.secret(controller_id, PURPOSE, row.secret_version)
    except Unreadable:  # no such version: nobody with the keys wrote that
        return False
    return hmac.compare_digest(row.mac, policies.authentic(row, controller_id, secret.key, secret.version).mac)


def recorded(rows: Connection, controller_id: str) -> list[tuple[dict[str, Any], str]]:
    """Return what the trail says came into force, and by which entry: those whose act did not fail after all."""
    leaves = [members_of(leaf) or {} for leaf in audit.policy_leaves(rows, controller_id)]
    undone = {leaf["ref"] for leaf in leaves if leaf.get("outcome") == "failed" and "ref" in leaf}
    return [
        (dict(leaf.get("about", {})), str(leaf.get("id")))
        for leaf in leaves
        if leaf.get("outcome") == "done" and leaf.get("id") not in undone
    ]
