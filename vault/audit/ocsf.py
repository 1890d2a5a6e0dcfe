"""OCSF: entries as events of class 6005, Datastore Activity, of release 1.8.0, which security systems read.

The schema of that release is what the tests compare with, and an attribute it does not know fails them. Entry and position stand in
`metadata`; what OCSF has no word for stands in `unmapped`. Pure.
"""

from collections.abc import Mapping
from typing import Any, Final

import orjson

from vault.audit.exported import Line

RELEASE: Final = "1.8.0"
PROFILE: Final = "data_classification"
CLASS: Final = 6005
OTHER: Final = 99
ACTIVITIES: Final[Mapping[str, int]] = {
    **dict.fromkeys(("disclose", "reveal", "verify"), 1),
    "amend": 2,
    **dict.fromkeys(("find", "review-search", "review-open"), 4),
    "enroll": 6,
    "erase": 7,
}
_SERVICE, _PERSON, _SYSTEM = 4, 1, 3
_USERS: Final = {"system": _SYSTEM, "job": _SERVICE}
_CATEGORIES: Final = {"financial": (3, "Financial")}
_PERSONAL: Final = (1, "Personal")
_INFORMATIONAL, _MEDIUM = 1, 3
_SUCCESS, _FAILURE = 1, 2


def ocsf_line(line: Line) -> bytes:
    """Return one event as a line of JSON."""
    return orjson.dumps(event(line)) + b"\n"


def event(line: Line) -> dict[str, Any]:
    """Return one event."""
    leaf = line.leaf
    activity = ACTIVITIES.get(leaf["operation"], OTHER)
    outcome = leaf["outcome"]
    return {
        "metadata": {
            "version": RELEASE,
            "product": {"name": "Riserbo", "vendor_name": "Riserbo", "version": "1"},
            "uid": leaf["id"],
            "log_name": "audit",
            "profiles": [PROFILE],
            "tenant_uid": line.controller_id,
            "sequence": line.position,
        },
        "category_uid": 6,
        "class_uid": CLASS,
        "activity_id": activity,
        **({"activity_name": leaf["operation"]} if activity == OTHER else {}),
        "type_uid": CLASS * 100 + activity,
        "type_id": 1,
        "severity_id": _MEDIUM if line.flags else _INFORMATIONAL,
        "time": leaf["at"],
        "status_id": _FAILURE if outcome in ("refused", "failed") else _SUCCESS,
        "status_detail": outcome,
        "message": _message(leaf),
        "actor": _actor(line),
        "src_endpoint": {"svc_name": leaf.get("recipient", "riserbo"), **({"uid": line.station} if line.station else {})},
        "database": {"name": "riserbo", "type_id": 1, **_classified(line)},
        "unmapped": _unmapped(line),
    }


def _message(leaf: Mapping[str, Any]) -> str:
    """Return how many fields were answered how: never which, that is in `unmapped`."""
    levels = [level.partition(":")[0] for level in leaf.get("fields", {}).values()]
    said = [f"{levels.count(level)} {level}" for level in ("clear", "masked", "token", "withheld", "absent") if level in levels]
    return f"{leaf['operation']}: {', '.join(said)}" if said else f"{leaf['operation']}: {leaf['outcome']}"


def _actor(line: Line) -> dict[str, Any]:
    leaf = line.leaf
    user = {
        "uid": line.caller or leaf["kind"],
        "type_id": _USERS.get(leaf["kind"], _PERSON) if line.caller else _SERVICE,
        "groups": [{"name": role} for role in leaf.get("roles", ())],
    }
    return {"user": user, "app_name": leaf.get("recipient", "riserbo")}


def _classified(line: Line) -> dict[str, Any]:
    """Return what kinds of data were shown in clear."""
    kinds = sorted({_CATEGORIES.get(name, _PERSONAL) for name in line.clear_classes})
    classified = [{"category_id": number, "category": name} for number, name in kinds]
    return {"data_classifications": classified} if classified else {}


def _unmapped(line: Line) -> dict[str, Any]:
    leaf = line.leaf
    said = {
        "entry": leaf["id"],
        "era": line.era,
        "position": line.position,
        "operation": leaf["operation"],
        "purpose": leaf.get("purpose"),
        "channel": leaf.get("channel"),
        "terms": list(leaf.get("terms", ())),
        "fields": dict(leaf.get("fields", {})),
        "subject": line.subject,
        "team": line.team,
        "ticket": line.ticket,
        "ticket_state": line.ticket_state,
        "flags": list(line.flags),
        "differs": line.differs,
    }
    return {name: one for name, one in said.items() if one not in (None, [], {}, False) or name == "position"}
