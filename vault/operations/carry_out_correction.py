"""Carry out what somebody wanted corrected (GDPR 16): what was accepted, by its digest, and nothing else, once it has waited.

The values take their place by `amend`, under the agreement and by the right of the officer who carries it out; in the same
transaction it is noted as done, so that whoever is killed does it once.
"""

from collections.abc import Callable

import sqlalchemy as sa

from vault.assembly import Vault
from vault.errors import Conflict, Stale
from vault.keys.drafts import Draft, open_drafts
from vault.operations.acting import Acting, record, refuse, telling
from vault.operations.amend import amend
from vault.operations.facts import as_known, sealed_classes
from vault.operations.proposals import change_proposal, last_proposal
from vault.operations.rectify import VERB, prepared, versions
from vault.policy.model import Context
from vault.rights import correction_records as corrections
from vault.rights.correcting import digest, hindrance
from vault.rights.correction_records import CorrectionRow
from vault.rights.records import RequestRow


def accepted_digest(vault: Vault, acting: Acting, row: RequestRow, stated: str | None) -> bytes | None:
    """Return the digest of what is accepted, None where nothing was proposed. Raises Conflict `plan-changed` for another."""
    last = last_proposal(vault, acting.context.controller_id, row.request_id)
    if last is None and stated is None:
        return None
    if last is None or stated != last.digest.hex():
        raise refuse(vault, acting, Conflict("plan-changed"))
    return last.digest


def carry_out_correction(vault: Vault, context: Context, row: RequestRow, also: Callable[[sa.Connection], None]) -> bool:
    """Put what was proposed and accepted in the place of what is there; return False where that was done, or nothing proposed.

    `also` is done in the transaction of the change.

    Raises what `amend` raises, and Conflict `plan-changed`, `changed-since`, `same-person`, `contact-not-told`, `contact-wait`.
    """
    last = last_proposal(vault, context.controller_id, row.request_id)
    with vault.database.snapshot(context.controller_id) as rows:
        drafts = [Draft(*one) for one in corrections.drafts(rows, context.controller_id, row.request_id)]
    if last is None or last.applied_at is not None:
        return False
    acting, _ = prepared(vault, VERB, context, row.request_id, last.replaces)
    present = versions(as_known(context, row.subject_id, acting.person)[1])
    there = digest(row.request_id, last.number, {one.class_name: one.frame for one in drafts})
    code = (
        "plan-changed" if not row.plan == last.digest == there else hindrance(last.proposal, present, acting.at, context.caller.id)
    )
    if code is not None:
        raise refuse(vault, acting, Conflict(code))
    permit = record(
        vault, acting, opens=dict.fromkeys(last.replaces, last.agreement_id), count=len(last.replaces),
        details={"result": "carried-out", "request": row.request_id},
    )  # fmt: skip
    with telling(vault, acting):
        sealed = sealed_classes(context.controller_id, row.subject_id, acting.person)
        opened = open_drafts(vault.keys, permit, sealed, drafts, last.place, vault.monotonic())
        values = {name: one.value for name, one in opened.items()}
        version = acting.person.subject.version if acting.person.subject is not None else 0
        applied = _applied(vault, acting, last, len(drafts), also)
        amend(vault, context, row.subject_id, last.agreement_id, values, version, own=True, also=applied)
    return True


def _applied(
    vault: Vault, acting: Acting, last: CorrectionRow, opened: int, also: Callable[[sa.Connection], None]
) -> Callable[[sa.Connection, int], None]:
    """Return what is done in the transaction of the change. It raises Stale where the request ended since the drafts were read."""

    def keep(transaction: sa.Connection, version: int) -> None:
        change_proposal(vault, acting.context.controller_id, last, applied_at=acting.at, applied_version=version)(transaction)
        if corrections.end_drafts(transaction, acting.context.controller_id, last.request_id) != opened:
            raise Stale
        also(transaction)

    return keep
