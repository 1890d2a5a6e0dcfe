"""Have a person's data packed to be taken away, say how far that is, and end what was not fetched in time.

The passphrase is in the answer and nowhere else: what is kept wraps a key for it and opens nothing. A job makes the package, by the
right of whoever asked. A new export of the same set replaces the one before: who lost the passphrase asks again.
"""

from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from typing import Any, Final

from vault.assembly import Vault
from vault.budgets import Budget
from vault.errors import AccessDenied, Fault, InvalidValue, NotFound
from vault.exports import records
from vault.exports.asked import LABEL, said
from vault.exports.manifest import SETS
from vault.exports.page import LANGUAGES
from vault.exports.records import ExportRow
from vault.keys.packages import new_passphrase, public_half
from vault.operations.acting import HOUSE, carrying_out, prepare, record, refuse, require_permission, require_person
from vault.operations.disclosure import SPECIAL
from vault.operations.facts import is_self
from vault.operations.marking import marked
from vault.operations.show_accesses import LEVEL_FOR_SPECIAL
from vault.operations.within_limits import within_limits
from vault.policy.model import Caller, Context

VERB: Final = "export_subject"
KEPT: Final = timedelta(days=7)
STALLED: Final = timedelta(hours=1)  # a last download that ended without a word
_A_DAY: Final = 5


@dataclass(frozen=True, slots=True)
class Started:
    """The answer: what to ask for, and the passphrase, which nobody can tell again."""

    export_id: str
    passphrase: str = field(repr=False)
    entry_id: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an export is. `starts_left`: downloads that may still be begun."""

    export: ExportRow
    starts_left: int


def export_subject(vault: Vault, context: Context, subject_id: str, which: str, language: str) -> Started:
    """Begin an export. Raises InvalidValue, NotFound, AccessDenied (`level-needed`), TooMany."""
    acting = prepare(vault, VERB, context, subject_id, classes=[SPECIAL])
    require_permission(vault, acting)
    require_person(vault, acting)
    faults = [Fault("/set", "set.unknown")] if which not in SETS else []
    faults += [Fault("/language", "language.unknown")] if language not in LANGUAGES else []
    if faults:
        raise refuse(vault, acting, InvalidValue(faults=faults))
    own = is_self(context, subject_id, acting.person)
    if own and SPECIAL in acting.person.frames and context.caller.level < LEVEL_FOR_SPECIAL:
        raise refuse(vault, acting, AccessDenied("level-needed"))
    within_limits(vault, acting, [Budget(f"{subject_id}/exports", "export", _A_DAY, timedelta(days=1))], "export-budget")
    passphrase, salt = new_passphrase()
    made = ExportRow(
        export_id=vault.new_id("exp"), subject_id=subject_id, set="access" if which == "access" else "portability",
        language=language, request_id=context.request_id, asker=_asker(context.caller), channel=context.channel,
        ticket_id=context.ticket_id, state="building", done=0, total=0, attempt=0, leased_until=None, salt=salt,
        public=public_half(passphrase, salt), asked=None, wrap=None, special=False, size=0, starts=0, started_at=None,
        asked_at=acting.at, expires_at=acting.at + KEPT, entry_id=acting.entry_id,
    )  # fmt: skip
    made = replace(made, asked=marked(vault, context.controller_id, LABEL, said(asdict(made))))
    record(vault, acting, details={"result": "begun", "export": made.export_id, "set": made.set})
    with carrying_out(vault, acting) as transaction:
        for other in records.live_of(transaction, context.controller_id, subject_id, made.set):
            records.end(transaction, context.controller_id, other, "replaced")
        records.add(transaction, context.controller_id, made)
    return Started(made.export_id, passphrase, acting.entry_id)


def show_export(vault: Vault, context: Context, export_id: str) -> Progress:
    """Show how far it is; refusals alone are on record, for it tells nothing of anybody. Raises NotFound, AccessDenied."""
    with vault.database.snapshot(context.controller_id) as rows:
        found = records.read(rows, context.controller_id, export_id)
    acting = prepare(vault, "show_export", context, found.subject_id if found is not None else export_id)
    require_permission(vault, acting)
    if found is None:
        raise refuse(vault, acting, NotFound())
    over = found.state == "ready" and found.expires_at <= acting.at
    shown = replace(found, state="expired") if over else found
    return Progress(shown, max(0, records.MOST_STARTS - found.starts) if shown.state == "ready" else 0)


def end_exports(vault: Vault, controller_id: str) -> int:
    """End what nobody fetched in time, or in three attempts; return how many. Each is on record before its bytes go."""
    now = vault.now()
    with vault.database.snapshot(controller_id) as rows:
        found = records.over(rows, controller_id, now, now - STALLED)
    for one in found:
        state: records.End = "expired" if one.expires_at <= now else "spent"
        acting = prepare(vault, "end_export", house(controller_id), one.subject_id, permission=HOUSE)
        record(vault, acting, details={"result": state, "export": one.export_id})
        with carrying_out(vault, acting) as transaction:
            records.end(transaction, controller_id, one.export_id, state)
    return len(found)


def house(controller_id: str) -> Context:
    """Return the context in which a job acts by itself."""
    job = Caller(id="exports", kind="job", roles=frozenset(), client_id="riserbo")
    return Context(controller_id, job, "rights-fulfilment", "api")


def context_of(controller_id: str, one: ExportRow) -> Context:
    """Return the context in which an export was asked for."""
    caller = Caller(**{**one.asker, "roles": frozenset(one.asker["roles"])})
    return Context(controller_id, caller, "rights-fulfilment", one.channel, one.ticket_id, one.request_id)  # type: ignore[arg-type]  # a channel it was asked by


def _asker(caller: Caller) -> dict[str, Any]:
    """Return a caller as they are kept; that they had just proved themselves does not last."""
    return {
        "id": caller.id, "kind": caller.kind, "roles": sorted(caller.roles), "client_id": caller.client_id, "team": caller.team,
        "subject_id": caller.subject_id, "level": caller.level, "actor": caller.actor,
    }  # fmt: skip
