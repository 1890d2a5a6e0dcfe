"""Forbid, for after one's death, that others exercise one's rights (Codice, 2-terdecies(2) to (5)); take it back; look at it.

By the person, signed in with a second factor, or by the request officer who has seen it in writing. It is read when a request about
somebody dead is accepted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from vault.assembly import Vault
from vault.errors import Conflict, Fault, InvalidValue
from vault.operations.acting import Acting, carrying_out, is_gone, prepare, record, refuse, require_permission, require_person
from vault.operations.open_request import role_of
from vault.policy.model import Context
from vault.rights import prohibition_records as prohibitions
from vault.rights.afterlife import OVERRIDING, RIGHTS, STANDINGS, is_forbidden
from vault.rights.prohibition_records import ProhibitionRow

VERB: Final = "forbid_after_death"


@dataclass(frozen=True, slots=True)
class Forbidden:
    """The answer: which rights are forbidden, since when, on what evidence, and the entry."""

    rights: Sequence[str]
    evidence: str | None
    recorded_at: str | None
    entry_id: str


def forbid_after_death(vault: Vault, context: Context, subject_id: str, rights: Sequence[str]) -> Forbidden:
    """Say which rights nobody may exercise after somebody's death, none for any; what was said before no longer counts.

    The dead take nothing back, and nobody does in their place: a paper found later may forbid more, never less.

    Raises InvalidValue, NotFound, AccessDenied, Stale, Conflict `not-theirs-to-lift`.
    """
    acting = prepare(vault, VERB, context, subject_id)
    require_permission(vault, acting)
    require_person(vault, acting)
    if not set(rights) <= set(RIGHTS):
        raise refuse(vault, acting, InvalidValue(faults=[Fault("/rights", "right.unknown")]))
    evidence = "own-session" if role_of(acting) == "customer" else "document-seen"
    with vault.database.snapshot(context.controller_id) as rows:
        before = prohibitions.last(rows, context.controller_id, subject_id)
    if before is not None and _is_dead(acting) and not set(before.rights) <= set(rights):
        raise refuse(vault, acting, Conflict("not-theirs-to-lift"))
    number = 1 if before is None else before.number + 1
    record(vault, acting, details={"result": "forbidden" if rights else "allowed-again"})
    made = ProhibitionRow(
        subject_id, number, sorted(set(rights)), evidence, acting.at, context.caller.id, acting.entry_id
    )  # fmt: skip
    with carrying_out(vault, acting) as transaction:
        prohibitions.add(transaction, context.controller_id, made)
    return _answer(made, acting)


def show_forbidden(vault: Vault, context: Context, subject_id: str) -> Forbidden:
    """Show what somebody forbade. Raises NotFound, AccessDenied."""
    acting = prepare(vault, VERB, context, subject_id)
    require_permission(vault, acting)
    require_person(vault, acting)
    with vault.database.snapshot(context.controller_id) as rows:
        found = prohibitions.last(rows, context.controller_id, subject_id)
    record(vault, acting, details={"result": "shown"})
    return _answer(found, acting)


def require_allowed_by_the_dead(
    vault: Vault, acting: Acting, subject_id: str, standing: str | None, right: str | None, ground: str | None
) -> None:
    """Expect whose request about somebody dead this is, which right it is of, and that they are dead and did not forbid it.

    Raises the recorded InvalidValue, Conflict `not-deceased`, `forbidden-by-the-dead`.
    """
    wrong = {
        "/standing": standing not in STANDINGS, "/right": right not in RIGHTS, "/ground": ground not in (None, *OVERRIDING),
    }  # fmt: skip
    if faults := [Fault(pointer, "member.unfit") for pointer, stands in wrong.items() if stands]:
        raise refuse(vault, acting, InvalidValue(faults=faults))
    if not _is_dead(acting) and not is_gone(acting.person):
        raise refuse(vault, acting, Conflict("not-deceased"))
    with vault.database.snapshot(acting.context.controller_id) as rows:
        found = prohibitions.last(rows, acting.context.controller_id, subject_id)
    online = any(
        one.template in vault.templates and vault.templates[one.template].online_service for one in acting.person.agreements
    )
    if found is not None and is_forbidden(found.rights, right or "", online=online, ground=ground):
        raise refuse(vault, acting, Conflict("forbidden-by-the-dead"))


def _is_dead(acting: Acting) -> bool:
    return acting.person.subject is not None and acting.person.subject.deceased


def _answer(found: ProhibitionRow | None, acting: Acting) -> Forbidden:
    if found is None:
        return Forbidden((), None, None, acting.entry_id)
    return Forbidden(found.rights, found.evidence, found.recorded_at.isoformat(), acting.entry_id)
