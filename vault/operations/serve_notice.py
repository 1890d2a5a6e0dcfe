"""Put down that a person was given a notice (GDPR 13, 14): by a system, at the desk on a verified ticket, in their own session."""

from dataclasses import dataclass

from vault.assembly import Vault
from vault.errors import InvalidValue
from vault.notices import ServedRow
from vault.operations.acting import carrying_out, prepare, record, refuse, require_permission, require_person
from vault.operations.noticing import Given, keep_served, said_of, told
from vault.policy.model import Context

VERB = "serve_notice"


@dataclass(frozen=True, slots=True)
class Served:
    """The answer: what was put down, and the entry."""

    row: ServedRow
    entry_id: str


def serve_notice(vault: Vault, context: Context, subject_id: str, given: Given) -> Served:
    """Put it down. Raises InvalidValue, NotFound, AccessDenied, Erased, Conflict `notice-changed`."""
    acting = prepare(vault, VERB, context, subject_id)
    require_permission(vault, acting)
    require_person(vault, acting)
    try:
        notice = told(vault, given, acting.at)
    except InvalidValue as error:
        raise refuse(vault, acting, error) from None
    record(vault, acting, details=said_of(notice, given))
    with carrying_out(vault, acting) as transaction:
        row = keep_served(vault, transaction, acting, subject_id, notice, given)
    return Served(row, acting.entry_id)
