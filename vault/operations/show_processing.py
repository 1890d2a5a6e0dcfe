"""Show the records of processing activities (GDPR 30(1)), made from what is in force and from what the trail shows: to officers.

As JSON-LD in the words of DPV, the same signed, or a table; the signed line names the SHA-256 of the table. Nothing of it is kept:
it is made anew each time, and the entry names the SHA-256 of what was shown. No value and no person is in it, but how many people
each recipient received something of. What went out is taken from the ledger of disclosures, as far as that was read from the trail
(each minute): nothing is opened for it.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final, Literal

import sqlalchemy as sa

from vault import tables
from vault.agreements.receipts import Publisher
from vault.assembly import Vault
from vault.errors import Conflict, NotFound, Unreadable
from vault.exports.sheets import sheet
from vault.keys.epochs import epochs_of
from vault.operations.acting import HOUSE, Acting, prepare, record, require_permission, telling
from vault.operations.show_log import newest_note, present_era
from vault.operations.signing import signed_document
from vault.policy.lexicon import ROLES
from vault.policy.model import Caller, Context
from vault.processing.forms import COLUMNS, json_ld, rows
from vault.processing.register import Facts, Listed, Received, Ruled, Secured, Used, register, unruled
from vault.recipients import records as recipients
from vault.recipients.register import contract_holds

VERB: Final = "show_processing"
Form = Literal["jsonld", "note", "csv"]
FORMS: Final[tuple[Form, ...]] = ("jsonld", "note", "csv")
IN_USE: Final = timedelta(days=366)  # a purpose nobody used for a year is in use no more
_DAY_MS: Final = 86_400_000
_SAID: Final = ("name", "address", "contact", "email", "phone", "url", "jurisdiction", "dpo")


@dataclass(frozen=True, slots=True)
class Shown:
    """The register in the form asked for and as a line of JSON-LD, how many errors are in it, and the entry that recorded it."""

    octets: bytes
    line: bytes
    errors: int
    entry_id: str


def show_processing(vault: Vault, context: Context, form: Form = "jsonld") -> Shown:
    """Show the register. Raises AccessDenied."""
    acting = prepare(vault, VERB, context)
    require_permission(vault, acting)
    return _shown(vault, acting, form)


def show_processing_in_house(vault: Vault, controller_id: str, form: Form = "jsonld") -> Shown:
    """Show it to whoever runs the vault."""
    operator = Caller(id="operator", kind="operator", roles=frozenset({"operator"}), client_id="riserbo")
    acting = prepare(vault, VERB, Context(controller_id, operator, "legal-compliance", "api"), permission=HOUSE)
    return _shown(vault, acting, form)


def _shown(vault: Vault, acting: Acting, form: Form) -> Shown:
    controller_id = acting.context.controller_id
    made = register(_facts(vault, controller_id, acting.at))
    table = b"".join(sheet(COLUMNS, rows(made)))
    line = json_ld(made, vault.policy.bundle.vocabulary["prefixes"], vault.settings.host, sha256(table).hexdigest())
    said = {"form": form, "sha256": sha256(line).hexdigest(), "errors": len(made["errors"])}
    record(vault, acting, count=len(made["activities"]), details={"result": "listed"}, internal=said)
    with telling(vault, acting):
        octets = {"jsonld": line, "csv": table}.get(form) or signed_document(vault, controller_id, line)
    return Shown(octets, line, len(made["errors"]), acting.entry_id)


def _facts(vault: Vault, controller_id: str, at: datetime) -> Facts:
    ruled = _ruled(vault)
    with vault.database.snapshot(controller_id) as snapshot:
        return Facts(
            controller_id=controller_id,
            at=at,
            controller=_controller(vault, controller_id),
            ruled=ruled,
            listed=_listed(snapshot, controller_id, at),
            received=_received(snapshot, controller_id),
            read_until=recipients.mark(snapshot, controller_id),
            used=_used(snapshot, controller_id, ruled, at - IN_USE),
            secured=_secured(vault, snapshot, controller_id, at),
        )


def _ruled(vault: Vault) -> Ruled:
    bundle, lexicon = vault.policy.bundle, vault.policy.lexicon
    return Ruled(
        digest=vault.policy.digest,
        vocabulary=bundle.vocabulary,
        fields=bundle.catalogue["fields"],
        parties=vault.policy.parties,
        templates=bundle.templates,
        granted={name: vault.policy.granted_fields(name) for name in bundle.templates},
        allowed={name: lexicon.terms[name].agreed for name in bundle.templates},
        roles=ROLES,
    )


def _controller(vault: Vault, controller_id: str) -> dict[str, Any] | None:
    try:
        said: Publisher = vault.publisher(controller_id)
    except Conflict:
        return None
    return {name: getattr(said, name) for name in _SAID}


def _listed(snapshot: sa.Connection, controller_id: str, at: datetime) -> list[Listed]:
    return [
        Listed(
            one.name, one.party, one.role, one.country, one.transfer_tool, one.contract,
            contract_holds(one.role, one.contract_from, one.contract_until, at), one.subprocessors, one.ended_at is not None,
        )
        for one in recipients.recipients(snapshot, controller_id).values()
    ]  # fmt: skip


def _received(snapshot: sa.Connection, controller_id: str) -> list[Received]:
    found = snapshot.execute(_WENT, {"controller": controller_id})
    return [Received(row.recipient, row.fields, int(row.people), int(row.first_at), int(row.last_at)) for row in found]


def _used(snapshot: sa.Connection, controller_id: str, ruled: Ruled, since: datetime) -> list[Used]:
    """Return the purposes something was shown for. Counts propose them; what no template allows is looked up in the log.

    An act for a purpose that nobody agreed to is on record also where nothing of it was shown: that is no use.
    """
    since_ms = int(since.timestamp() * 1000)
    asked = {"controller": controller_id, "day": since_ms // _DAY_MS}
    proposed = [row.purpose for row in snapshot.execute(_COUNTED, asked)]
    doubtful = unruled(ruled, (one for one in proposed if one != "-"))
    if not doubtful:
        return []
    found = snapshot.execute(_SHOWN, {"controller": controller_id, "since": since_ms, "purposes": doubtful})
    return [Used(row.purpose, int(row.first_at), int(row.last_at)) for row in found]


def _secured(vault: Vault, snapshot: sa.Connection, controller_id: str, at: datetime) -> Secured:
    newest = epochs_of(snapshot, controller_id)[-1]
    provider, remote = vault.keys.kept_by
    return Secured(provider, remote, newest.epoch, (at - newest.created_at).days, _checkpoint(vault, snapshot, controller_id))


def _checkpoint(vault: Vault, snapshot: sa.Connection, controller_id: str) -> dict[str, Any] | None:
    with suppress(NotFound, Unreadable):
        point = newest_note(vault, snapshot, controller_id, present_era(snapshot, controller_id)).checkpoint
        return {"origin": point.origin, "size": point.size, "root": point.root.hex()}
    return None


_D, _C, _L = tables.disclosure.c, tables.audit_daily.c, tables.audit_lookup.c
_CONTROLLER: sa.BindParameter[str] = sa.bindparam("controller")
_SHOWING: Final = ("allowed", "partial")  # outcomes of acts on fields
_WENT: Final = (
    sa.select(
        _D.recipient,
        sa.func.array_agg(_D.field.distinct()).label("fields"),
        sa.func.count(_D.subject_id.distinct()).label("people"),
        sa.func.min(_D.first_at).label("first_at"),
        sa.func.max(_D.last_at).label("last_at"),
    )
    .where(_D.controller_id == _CONTROLLER)
    .group_by(_D.recipient)
    .order_by(_D.recipient)
)
_COUNTED: Final = (
    sa.select(_C.purpose)
    .where(_C.controller_id == _CONTROLLER, _C.day >= sa.bindparam("day"), _C.outcome.in_(_SHOWING))
    .group_by(_C.purpose)
    .order_by(_C.purpose)
)
_SHOWN: Final = (
    sa.select(_L.purpose, sa.func.min(_L.at).label("first_at"), sa.func.max(_L.at).label("last_at"))
    .where(
        _L.controller_id == _CONTROLLER,
        _L.at >= sa.bindparam("since"),
        _L.purpose.in_(sa.bindparam("purposes", expanding=True)),
        _L.outcome.in_(_SHOWING),
        sa.func.cardinality(_L.classes) > sa.literal_column("0"),
    )
    .group_by(_L.purpose)
    .order_by(_L.purpose)
)
