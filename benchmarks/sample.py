"""Before a figure counts: a hundred answers are looked at, and what was recorded is counted.

Each answer must hold the right values of the right person, as clearly as the policy's table says, and leave exactly one durable
entry. Over all windows, each answer must have left one entry too: a server that answers faster than it records is no contender.
"""

import json
from collections.abc import Mapping, Sequence
from http.client import HTTPConnection
from typing import Any

import psycopg

from benchmarks import people
from benchmarks.people import Workload
from benchmarks.seed import CONTROLLER, Seeded, World, tokens
from vault.policy.masks import show

SAMPLED = 100
PATIENCE_S = 10
_OF_ENTRIES = """
    SELECT entry_id, operation FROM vault.audit_pending WHERE controller_id = %(controller)s
    UNION ALL SELECT entry_id, operation FROM vault.audit_lookup WHERE controller_id = %(controller)s"""
_NAMED = f"SELECT entry_id, count(*) FROM ({_OF_ENTRIES}) AS entries WHERE entry_id = ANY(%(ids)s) GROUP BY 1"
_ALL = f"SELECT count(*) FROM ({_OF_ENTRIES}) AS entries WHERE operation = 'disclose'"
_ROWS = "SELECT count(*) FROM audit_row"


class WrongAnswer(Exception):
    """An answer that makes every figure void: what is wrong, never a value."""


class NotReady(Exception):
    """The vault said to try again: on a busy machine its trail may need a moment."""


def check_answers(made: World, seeded: Seeded, port: int, workload: Workload) -> None:
    """Read a hundred customers spread over all. Raises WrongAnswer, or NotReady."""
    step = max(1, len(seeded.subjects) // SAMPLED)
    token = tokens(made, workload)[0]
    before, entries = recorded(made), []
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        for row, subject_id in seeded.subjects[::step][:SAMPLED]:
            headers = people.headers(workload, row, token)
            connection.request("GET", people.path(workload, subject_id), headers=headers)
            reply = connection.getresponse()
            body = json.loads(reply.read())
            if reply.status == 503:
                raise NotReady(workload.name)
            if reply.status != 200:
                raise WrongAnswer(f"{workload.name}: status {reply.status}, {body.get('type')}, {body.get('errors')}")
            check_answer(workload, row, subject_id, body)
            entries.append(body["entry_id"])
    finally:
        connection.close()
    _check_entries(made, entries, recorded(made) - before)


def check_answer(workload: Workload, row: int, subject_id: str, body: Mapping[str, Any]) -> None:
    """Compare one answer with what the policy's table says of this customer. Raises WrongAnswer naming the field."""
    if body["subject_id"] != subject_id:
        raise WrongAnswer("another person")
    values = people.customer(row)
    for name, shown in body["fields"].items():
        level = "clear" if name in workload.clear else "masked" if name in workload.masked else "withheld"
        if shown["state"] != level and not (level == "withheld" and shown["state"] == "absent"):
            raise WrongAnswer(f"{name} is {shown['state']}, not {level}: {shown['because']}")
        due = {"clear": values.get(name), "withheld": None}.get(
            level, show(shown["mask"], values[name]) if level == "masked" else None
        )
        if shown["value"] != due:
            raise WrongAnswer(f"{name} does not hold what it should")
    if missing := (workload.clear | workload.masked) - body["fields"].keys():
        raise WrongAnswer(f"missing: {sorted(missing)}")


def recorded(made: World) -> int:
    """Return how many readings the vault has on record, sequenced or pending."""
    return _count(made.admin_url, _ALL, {"controller": CONTROLLER})


def inserted(made: World) -> int:
    """Return how many rows the references have inserted."""
    return _count(made.reference_url, _ROWS, {})


def _check_entries(made: World, entries: Sequence[str], grown: int) -> None:
    with psycopg.connect(made.admin_url, autocommit=True) as connection:
        found: dict[str, int] = dict(connection.execute(_NAMED, {"controller": CONTROLLER, "ids": list(entries)}).fetchall())
    if grown != len(entries) or found != dict.fromkeys(entries, 1):
        raise WrongAnswer(f"{len(entries)} answers left {grown} entries, {len(found)} of them named")


def _count(url: str, statement: str, parameters: Mapping[str, Any]) -> int:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(statement, parameters).fetchone()
    return int(row[0]) if row is not None else 0
