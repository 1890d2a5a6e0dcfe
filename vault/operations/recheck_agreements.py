"""Compare the derived state of each agreement, which decisions rest on, with what its terms and events say. Changes nothing.

Who owns the database can change events as well; this finds states that were changed without them, and our own mistakes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import structlog

from vault.agreements import records as agreements
from vault.agreements.records import StoredRow
from vault.agreements.terms import Event, EventKind, Terms, derive
from vault.assembly import Vault

PAGE = 1_000

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Difference:
    """One agreement whose state is not what follows: `code` says in what, never what it holds."""

    subject_id: str
    agreement_id: str
    code: str  # missing template status consent validity excluded events


def recheck_agreements(vault: Vault, controller_id: str) -> list[Difference]:
    """Return every difference, and log each by code. Raises DatabaseUnavailable."""
    found: list[Difference] = []
    after = ("", "")
    while True:
        with vault.database.snapshot(controller_id) as rows:
            page = agreements.stored(rows, controller_id, after, PAGE)
        found += [Difference(one.subject_id, one.agreement_id, code) for one in page for code in _differences(vault, one)]
        if len(page) < PAGE:
            break
        after = (page[-1].subject_id, page[-1].agreement_id)
    for one in found:
        log.error("agreement_differs", controller_id=controller_id, subject_id=one.subject_id, code=one.code)
    return found


def _differences(vault: Vault, one: StoredRow) -> Iterator[str]:
    if one.state_template is None:
        yield "missing"
        return
    if one.state_template != one.template:
        yield "template"
    template = vault.templates.get(one.template)
    if template is None:
        return  # a bundle of another time knew it: its basis is not known here
    begins = None if template.starts == "trigger" else one.valid_from
    events = [
        Event(int(number), cast(EventKind, kind), one.valid_from, frozenset(excluded))
        for number, (kind, excluded) in one.events.items()
    ]
    try:
        derived = derive(Terms(template.basis, begins, one.valid_until), events)
    except ValueError:  # one is missing
        yield "events"
        return
    if one.status != derived.status:
        yield "status"
    if one.consent != derived.consent:
        yield "consent"
    if frozenset(one.excluded or ()) != derived.excluded:
        yield "excluded"
    if (one.state_from, one.state_until) != (one.valid_from, one.valid_until):
        yield "validity"
