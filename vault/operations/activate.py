"""Put a bundle in force: signed by two people, tried, planned, and on record before it counts.

A controller begins with the bundle at hand when it was created (`begin`): nobody's data are there yet, and whoever creates one may
decide everything about it. From then on two people sign each change, always both: limits, texts and obligations can widen what
happens without any difference a plan would see. A rollback is a new sequence with a bundle that was in force before; it is signed
alike, and needs no plan, since what it gives back had been accepted.

The entry goes first and gets its position, then the row: a row that nobody recorded is never in force. If the process dies between
the two, the same note puts the row down that the entry speaks of. Between the two nobody else activates or repairs: whoever comes
meanwhile is refused, or would undo by their failure what the other has put down.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from typing import Any

import sqlalchemy as sa

from vault import notices, tables
from vault.assembly import Vault
from vault.database import Database
from vault.errors import Conflict, DatabaseUnavailable, Fault, InvalidValue, NotFound, PolicyUnavailable
from vault.keys.controller_keys import ControllerKeys
from vault.operations.acting import HOUSE, Acting, draft, prepare, record, refuse, telling
from vault.operations.in_force import DIFFERS, activations, authenticated, recorded
from vault.policy import records as policies
from vault.policy.activation import GROUPS, Activation, Approver, parse_activation, refusals, signers
from vault.policy.archive import packed
from vault.policy.bundle import Bundle, kept_bundle, parsed_bundle
from vault.policy.continuity import losses
from vault.policy.files import bundle_digest
from vault.policy.lint import faults
from vault.policy.model import Caller, Context
from vault.policy.plan import Plan, plan
from vault.policy.records import ActivationRow
from vault.policy.trial import Candidate, invariant_checks, matrix_checks, tried

ACTIVATED = "policy:activated"
Settle = Callable[[str], None]  # gives a controller's pending entries their positions; raises AuditUnavailable
Trial = Callable[[Bundle], Sequence[str]]
_AGREED = sa.select(tables.agreement.c.template_id, tables.agreement.c.template_version).distinct()


@dataclass(frozen=True, slots=True)
class Activated:
    """What is in force now. `repaired`: it was on record already, and only its row was missing."""

    row: ActivationRow
    repaired: bool = False


def failing_cases(bundle: Bundle) -> Sequence[str]:
    """Return the cases of a bundle's matrix that do not come out; where all do, what must always hold and does not."""
    candidate = Candidate.of(bundle)
    return tried(candidate, list(matrix_checks(bundle))).failed or tried(candidate, list(invariant_checks(bundle))).failed


def begin(vault: Vault, controller_id: str, bundle: Bundle) -> ActivationRow:
    """Put the first bundle in force for a controller that was just created, as sequence 1, unsigned.

    Raises Conflict when something is in force already.
    """
    acting = _acting(vault, controller_id)
    with vault.database.snapshot(controller_id) as rows:
        if policies.head(rows, controller_id) is not None or recorded(rows, controller_id):
            raise Conflict("policy-activated")
    begun = ActivationRow(1, bundle.digest, None, None, acting.at, acting.entry_id)
    row = authenticated(begun, vault.keys, controller_id)
    _record(vault, acting, row, {"kind": "begun"})
    _put(vault, acting, row, bundle.files)
    return row


def activate(
    vault: Vault,
    controller_id: str,
    note: str,
    files: Mapping[str, bytes],
    known: Sequence[Approver],
    settle: Settle,
    trial: Trial = failing_cases,
) -> Activated:
    """Put the bundle of these files in force as a signed note says.

    Raises the recorded InvalidValue `policy-refused` with everything that stands against it; Conflict `policy-changing` while
    somebody else does it; PolicyUnavailable when the table was edited or restored and this note is not the one that is missing;
    AuditUnavailable.
    """
    acting = _acting(vault, controller_id)
    digest = _digest(files)
    settle(controller_id)  # what was recorded last has its position, or the table would seem to say more than the trail
    try:
        held = activations(vault.database, vault.keys, controller_id)
    except PolicyUnavailable:
        return _repaired(vault, acting, note, known, {digest: files})
    last = held[-1] if held else None
    found = list(_refused(note, known, controller_id, digest, last, acting.at))
    found = found or [_of_the_lint(one) for one in faults(files)]
    if found:
        raise refuse(vault, acting, InvalidValue("policy-refused", faults=found))
    bundle = parsed_bundle(files)
    found = _losses(vault.database, controller_id, bundle, last) or [
        Fault(one.partition(": ")[0], "case.fails") for one in trial(bundle)
    ]
    planned = _planned(vault.database, controller_id, bundle, last) if not found else None
    found += _unaccepted(planned) if planned is not None else []
    if found:
        raise refuse(vault, acting, InvalidValue("policy-refused", faults=found))
    widens = [one.document for one in planned.changes if one.kind == "WIDENS"] if planned is not None else []
    said = {"kind": "activated", "widens": widens}
    return _come_into_force(vault, acting, note, known, files, settle, said, last)


def roll_back(vault: Vault, controller_id: str, note: str, known: Sequence[Approver], settle: Settle) -> Activated:
    """Put a bundle in force again that was before, as a signed note says. Raises what `activate` raises.

    A digest this controller never had is refused with NotFound `bundle-not-kept`, recorded.
    """
    acting = _acting(vault, controller_id)
    try:
        named = parse_activation(note)[0].digest
    except ValueError:
        raise refuse(vault, acting, InvalidValue("policy-refused", faults=[Fault("note", "note.unfit")])) from None
    with vault.database.snapshot(controller_id) as rows:
        archive = policies.kept_archive(rows, controller_id, named)
    if archive is None:
        raise refuse(vault, acting, NotFound("bundle-not-kept"))
    try:
        bundle = kept_bundle(archive, named)
    except ValueError:
        raise refuse(vault, acting, InvalidValue("policy-refused", faults=[Fault("bundle", "bundle.altered")])) from None
    settle(controller_id)
    try:
        held = activations(vault.database, vault.keys, controller_id)
    except PolicyUnavailable:
        return _repaired(vault, acting, note, known, {named: bundle.files})
    last = held[-1] if held else None
    found = list(_refused(note, known, controller_id, named, last, acting.at))
    found = found or _losses(vault.database, controller_id, bundle, last)
    if found:
        raise refuse(vault, acting, InvalidValue("policy-refused", faults=found))
    return _come_into_force(vault, acting, note, known, bundle.files, settle, {"kind": "rolled-back"}, last)


def history(database: Database, keys: ControllerKeys, controller_id: str) -> Sequence[ActivationRow]:
    """Return everything that came into force, the first one first. Raises PolicyUnavailable `policy-table-differs`."""
    return activations(database, keys, controller_id)


def _by_two(note: str, known: Sequence[Approver]) -> bool:
    try:
        return {one.group for one in signers(note, known)} >= {*GROUPS}
    except ValueError:
        return False


def _acting(vault: Vault, controller_id: str) -> Acting:
    operator = Caller(id="operator", kind="operator", roles=frozenset({"operator"}), client_id="riserbo")
    return prepare(vault, ACTIVATED, Context(controller_id, operator, "legal-compliance", "api"), permission=HOUSE)


def _digest(files: Mapping[str, bytes]) -> str:
    """Return the digest of files that may be no bundle: then it is one that no note names."""
    try:
        return bundle_digest(files)
    except (KeyError, TypeError, ValueError):
        return "-"


def _refused(
    note: str, known: Sequence[Approver], controller_id: str, digest: str, last: ActivationRow | None, at: datetime
) -> Iterator[Fault]:
    before = Activation(controller_id, last.sequence, last.digest, last.previous, last.activated_at) if last is not None else None
    # Both signatures, always: a plan sees what fields are shown, not what limits, texts and obligations change.
    for code in refusals(note, known, controller_id=controller_id, digest=digest, last=before, at=at, widens=True):
        yield Fault("note", code)


def _of_the_lint(text: str) -> Fault:
    path, _, what = text.partition(": ")
    return Fault(path, what)


def _planned(database: Database, controller_id: str, new: Bundle, last: ActivationRow | None) -> Plan | None:
    """Return what would change, None where nothing was in force before."""
    old = _kept(database, controller_id, last)
    return plan(Candidate.of(old, held=False), Candidate.of(new, held=False)) if old is not None else None


def _kept(database: Database, controller_id: str, row: ActivationRow | None) -> Bundle | None:
    """Return the bundle of an activation. Raises PolicyUnavailable when what is kept is not what came into force."""
    if row is None:
        return None
    with database.snapshot(controller_id) as rows:
        archive = policies.kept_archive(rows, controller_id, row.digest)
    try:
        return kept_bundle(archive or b"", row.digest)
    except ValueError:
        raise PolicyUnavailable("policy-bundle-unfit") from None


def _unaccepted(planned: Plan) -> list[Fault]:
    return [Fault(" / ".join(one.document.values()), "widens.unaccepted") for one in planned.unaccepted]


def _losses(database: Database, controller_id: str, new: Bundle, last: ActivationRow | None) -> list[Fault]:
    old = _kept(database, controller_id, last)
    if old is None:
        return []
    with database.snapshot(controller_id) as rows:
        agreed = {f"{name}@{version}" for name, version in rows.execute(_AGREED)}
        served = notices.given(rows, controller_id)
    return [Fault(what, code) for what, code in losses(old, new, agreed, served)]


def _come_into_force(
    vault: Vault,
    acting: Acting,
    note: str,
    known: Sequence[Approver],
    files: Mapping[str, bytes],
    settle: Settle,
    said: Mapping[str, Any],
    last: ActivationRow | None,
) -> Activated:
    """Record the activation, wait until the entry has its position, and put the row down; `last` is what this note follows."""
    named, _ = parse_activation(note)
    signed = ActivationRow(named.sequence, named.digest, named.previous, note, acting.at, acting.entry_id)
    row = authenticated(signed, vault.keys, acting.context.controller_id)
    by = [f"{one.group} {one.person}" for one in signers(note, known)]
    with _alone(vault, acting):
        held = activations(vault.database, vault.keys, acting.context.controller_id)
        if (held[-1] if held else None) != last:
            raise refuse(vault, acting, Conflict("policy-changing"))
        _record(vault, acting, row, {**said, "signed_by": by, "not_before": named.not_before.isoformat()})
        with telling(vault, acting):
            settle(acting.context.controller_id)
        _put(vault, acting, row, files)
    return Activated(row)


@contextmanager
def _alone(vault: Vault, acting: Acting) -> Iterator[None]:
    """Let one process at a time change what is in force. Raises the recorded Conflict `policy-changing` for the others."""
    with vault.database.transaction(acting.context.controller_id) as transaction:
        if not policies.claim(transaction, acting.context.controller_id):
            raise refuse(vault, acting, Conflict("policy-changing"))
        yield


def _record(vault: Vault, acting: Acting, row: ActivationRow, internal: Mapping[str, Any]) -> None:
    entry = draft(vault, acting, "done", details={"result": "activated"}, internal=internal)
    bundle = bytes.fromhex(row.digest.removeprefix("sha256:"))
    vault.audit.record(acting.context.controller_id, replace(entry, about=row.said, bundle=bundle))


def _put(vault: Vault, acting: Acting, row: ActivationRow, files: Mapping[str, bytes]) -> None:
    """Put the row down.

    Where the database was lost nobody knows whether it is there, so nothing is told: an entry that says it failed beside a row that
    is there could never be mended, an entry without its row is by the same note.
    """
    controller_id, lost = acting.context.controller_id, None
    with telling(vault, acting):
        try:
            with vault.database.transaction(controller_id) as transaction:
                policies.insert_activation(transaction, controller_id, row, packed(files))
        except DatabaseUnavailable as error:
            if row.note is None:  # nothing could mend it
                raise
            lost = error
    if lost is not None:
        raise lost


def _repaired(
    vault: Vault, acting: Acting, note: str, known: Sequence[Approver], bundles: Mapping[str, Mapping[str, bytes]]
) -> Activated:
    """Put the row down that the trail speaks of and the table lacks, if this note is the one, and still signed by two people.

    Raises PolicyUnavailable.
    """
    controller_id, noted = acting.context.controller_id, sha256(note.encode()).hexdigest()
    with _alone(vault, acting):
        with vault.database.snapshot(controller_id) as rows:
            told, held = recorded(rows, controller_id), policies.activations(rows, controller_id)
        agrees = [(one.said, one.entry_id) for one in held] == told[: len(held)]
        missing = told[len(held) :][:1] if agrees and _by_two(note, known) else []
        for said, entry_id in missing:
            if said.get("note") == noted and said["digest"] in bundles:
                named, _ = parse_activation(note)
                lost = ActivationRow(named.sequence, named.digest, named.previous, note, acting.at, entry_id)
                row = authenticated(lost, vault.keys, controller_id)
                repairing = replace(acting, verb="policy:repaired")
                record(vault, repairing, internal={"repaired": entry_id})
                _put(vault, repairing, row, bundles[named.digest])
                return Activated(row, repaired=True)
    raise refuse(vault, acting, PolicyUnavailable(DIFFERS))
