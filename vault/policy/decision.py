"""From facts to a decision: how a row of each table comes about, which reason is shown, which agreement decides. Pure.

Rules, in order (docs/policy.md, "In which order it is decided"):

1. Gate 1 says for each agreement which fields it makes lawful; gate 2 says how clearly this caller may see each field.
2. Of a field's rungs (clear, each mask weakest first, token) the first allowed one wins; none: withheld. What no agreement makes
   lawful is withheld whatever gate 2 says.
3. A withheld field tells one reason: gate 1's if it is not lawful, else gate 2's; within a gate a forbid before default-deny, then
   the order of REFUSALS. Of several agreements the one that comes closest to covering the ask speaks.
4. Nothing rests on an agreement for a field of whose class it holds no key, because the person excluded all of it: not even their
   own access, which rests on another agreement, or on none.
5. The deciding agreement of a field: exact purpose before narrower, then BASES, then the latest, then the lowest id.
6. One evaluation that reports an error refuses the whole request.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from hashlib import sha256
from operator import attrgetter
from typing import Any, Final

import orjson

from vault.policy.groups import Bucket
from vault.policy.inputs import TICKET_REFUSALS, LawKey, ViewKey
from vault.policy.lexicon import RIGHTS, Lexicon, Terms
from vault.policy.model import AgreementFacts, Level, TicketState
from vault.policy.recorded import given_law, given_view, stated
from vault.policy.rows import Blocked, Cell, Lawfulness, Note, Plate, Rung, Share, Verdict, View, cell, sound

REFUSALS: Final = (  # the first that applies is shown
    *("restricted", "objected", "deceased", "consent-withdrawn", "agreement-expired", "field-excluded"),
    *("collected-for-other-consent", "special-category", "time-barred", "no-processing-agreement", "no-transfer-tool"),
    *("purpose-not-agreed", "no-agreement"),
    *("ticket-not-yours", "ticket-closed", "ticket-of-another-person", "ticket-needed", "ticket-not-verified"),
    *("caller-not-verified", "reveal-needed", "channel-cap", "minor"),
    *("level-needed", "never-clear", "break-glass-approval", "emergency-denial", "policy-error", "role"),
)
PERMISSIONS: Final = (  # what `because` says of a field that is shown, or of a verb that is allowed
    *("agreed", "support-t1-identity", "support-t1-contact", "support-t1-financial", "support-t1-files", "support-t1-tokens"),
    *("support-t2-identity", "support-t2-contact", "support-t2-financial", "support-t2-files", "support-t2-reveal"),
    *("billing-identity", "billing-contact", "billing-financial", "billing-files", "billing-reveal"),
    *("care-identity", "care-contact", "care-financial", "care-health", "care-reveal"),
    *("rights-own-data", "rights-request", "system-preferences", "system-tokens"),
    *("verify-desk", "amend-desk", "amend-care", "amend-system", "find-desk", "find-system"),
    *("verb-enroll", "verb-agreements", "verb-receipts", "verb-tickets", "verb-register", "verb-break-glass", "verb-states"),
    *("break-glass", "verb-accesses", "verb-review", "verb-unmask", "verb-breaches", "verb-notices"),
)
OBLIGATIONS: Final = ("auto-hide-60s", "notify-dpo", "notify-subject", "review-2-working-days")
BASES: Final = ("contract", "legal_obligation", "vital_interest", "public_task", "legitimate_interest", "consent")
_rank = attrgetter("rank")
_ORDER: Final = {reason: number for number, reason in enumerate(REFUSALS)}
_DEFAULT_DENY: Final = len(REFUSALS)  # added to the rank of what no forbid refused
_CLOSENESS: Final = 2 * len(REFUSALS)


NO_AGREEMENT: Final = Blocked(_CLOSENESS * 3, cell("withheld", None, "no-agreement", ("deny-no-lawful-basis",)))
DENIED: Final = cell("withheld", None, "emergency-denial", ("emergency-denial",))
POLICY_ERROR: Final = cell("withheld", None, "policy-error", ())


def lawfulness(
    lexicon: Lexicon, key: LawKey, parts: Sequence[Bucket], verdicts: Sequence[Verdict], notes: Mapping[str, Note]
) -> Lawfulness:
    """Return gate 1's row for one agreement. Raises EngineFault when any evaluation failed."""
    terms = lexicon.terms[key.template]
    bits, let_go = 0, lexicon.let_go(key.template, key.excluded) if key.excluded else 0
    blocked = [NO_AGREEMENT] * len(lexicon.fields)
    for part, verdict in zip(parts, verdicts, strict=True):
        why = None if sound(verdict).allowed else _blocked(key, terms, part.field.name, verdict.by, notes)
        for position in part.positions:
            if why is not None:
                blocked[position] = why
            elif let_go >> position & 1:
                blocked[position] = _let_go(key, terms, lexicon.fields[position].name)
            else:
                bits |= 1 << position
    return Lawfulness(bits, _order(key, terms), tuple(blocked), _said(key, bits), given_law(lexicon, key.circumstance))


def rungs(key: ViewKey, part: Bucket) -> tuple[Rung, ...]:
    """Return what is tried for a bucket, in order. Of an unlawful field one rung is enough: it stays withheld."""
    if key.act in ("find", "amend", "verify"):
        return (Rung(key.act),)
    if not key.lawful >> part.positions[0] & 1:
        return (Rung("view_token"),)
    masks = tuple(Rung("view_masked", mask) for mask in part.field.ladder)
    return (Rung("view_clear"), *masks, Rung("view_token"))


def worked_out(
    lexicon: Lexicon,
    key: ViewKey,
    ladders: Sequence[tuple[Bucket, Sequence[Rung]]],
    verdicts: Iterator[Verdict],
    notes: Mapping[str, Note],
) -> tuple[list[Cell], dict[str, Any]]:
    """Return gate 2's cells, and the body that says of each field which policies allowed it and what blocked each rung above.

    `verdicts` follow the rungs of the buckets in order. Raises EngineFault when any evaluation failed.
    """
    cells = [POLICY_ERROR] * len(lexicon.fields)
    body: dict[str, Any] = {}
    for part, ladder in ladders:
        tried = [(rung, sound(next(verdicts))) for rung in ladder]
        found = _cell(key, lawful=bool(key.lawful >> part.positions[0] & 1), tried=tried, notes=notes)
        said = _body(found, tried)
        for position in part.positions:
            cells[position] = found
            body[lexicon.fields[position].name] = said
    return cells, body


def view_of(lexicon: Lexicon, key: ViewKey, cells: Sequence[Cell], body: Mapping[str, Any]) -> View:
    """Return the row of these cells; its digest is that of their body, in RFC 8785 form.

    orjson writes that form of texts, lists and nulls whose keys are ASCII, as names of fields and ids of policies are, in a
    thirtieth of the time.
    """
    digest = sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()
    return View(tuple(cells), f"sha256:{digest}", given_view(lexicon, key))


def with_denials(lexicon: Lexicon, row: View, denied: Collection[str]) -> View:
    """Return the row as an emergency denial leaves it: what would be shown of these fields is withheld, all else as it was.

    The digest stays that of the rules' own row; what was denied is part of the input, so the decision comes out again.
    """
    places = {lexicon.positions[name] for name in denied}
    cells = tuple(DENIED if place in places and one.shown.level != "withheld" else one for place, one in enumerate(row.cells))
    return View(cells, row.digest, {**row.given, "denied": f"{lexicon.mask(denied):x}"})


def best_refusal(forbids: Sequence[str], notes: Mapping[str, Note]) -> str | None:
    """Return the reason that is told of these forbids, or None if there are none."""
    return min((notes[one].reason for one in forbids), key=_ORDER.__getitem__, default=None)


def what_is_missing(principal: str, roles: frozenset[str], ticket: TicketState, *, assigned: bool) -> str:
    """Return the reason of a refusal that no forbid gave: the ticket where one could help, else the role."""
    if principal != "agent" or not roles:
        return "role"
    if ticket == "none":
        return "ticket-needed"
    return TICKET_REFUSALS.get(ticket) or ("ticket-not-yours" if ticket == "verified" and not assigned else "role")


def plate(asked: Sequence[tuple[str, int]], row: View, laws: Sequence[Lawfulness], given: Mapping[str, Any]) -> Plate:
    """Join gate 2's row with the rows of gate 1, which stand in the order in which they decide."""
    cells: list[tuple[str, int, Cell]] = []
    shown: dict[int, list[tuple[str, int]]] = {}
    obligations: set[str] = set()
    for name, position in asked:
        found = row.cells[position]
        deciding = next((number for number, law in enumerate(laws) if law.bits >> position & 1), None)
        if deciding is None:
            found = min((law.blocked[position] for law in laws), key=_rank, default=NO_AGREEMENT).cell
        elif found.shown.level != "withheld":
            shown.setdefault(deciding, []).append((name, position))
            obligations.update(found.obligations)
        cells.append((name, position, found))
    shares = tuple(_share(number, shown[number]) for number in sorted(shown))
    return _plate(cells, shares, tuple(sorted(obligations)), {**row.given, **given})


def deciding_order(granting: tuple[Lawfulness, AgreementFacts]) -> tuple[int, int, str]:
    """Return where an agreement stands among those that may decide a field; the lowest decides."""
    law, one = granting
    return law.order, -one.valid_from_ms, one.agreement_id


def subjectless_plate(asked: Sequence[tuple[str, int]], row: View, given: Mapping[str, Any]) -> Plate:
    """Return the answer of an exact look-up, which is about nobody yet: gate 2's row alone, resting on no agreement."""
    return _plate([(name, position, row.cells[position]) for name, position in asked], (), (), {**row.given, **given})


def _share(number: int, shown: Sequence[tuple[str, int]]) -> Share:
    return Share(number, tuple(name for name, _ in shown), f"{sum(1 << position for _, position in shown):x}")


def _plate(
    cells: Sequence[tuple[str, int, Cell]], shares: tuple[Share, ...], obligations: tuple[str, ...], given: Mapping[str, Any]
) -> Plate:
    returned: dict[str, int] = {}
    for _, position, one in cells:
        returned[one.returned] = returned.get(one.returned, 0) | 1 << position
    fields = {name: one.shown for name, _, one in cells}
    levels = {name: f"masked:{one.mask}" if one.level == "masked" else one.level for name, one in fields.items()}
    said = {what: f"{bits:x}" for what, bits in returned.items()}
    return Plate(fields, levels, shares, said, obligations, stated(given))


def _blocked(key: LawKey, terms: Terms, name: str, forbids: tuple[str, ...], notes: Mapping[str, Note]) -> Blocked:
    """Return why, ranked: closeness of the agreement to the ask, then forbid before default-deny, then the order of reasons."""
    named, agreed = name in terms.named, _agrees(key, terms)
    closeness = (not named) + (not agreed)
    reason = best_refusal(forbids, notes)
    if reason is None:
        reason = _unagreed(key, named=named, agreed=agreed)
        rank = _DEFAULT_DENY + _ORDER[reason]
    else:
        rank = _ORDER[reason]
    return Blocked(closeness * _CLOSENESS + rank, cell("withheld", None, reason, forbids or ("default-deny",)))


def _let_go(key: LawKey, terms: Terms, name: str) -> Blocked:
    """Return why nothing rests on an agreement that holds no key of the field's class, even what a policy would allow."""
    closeness = (name not in terms.named) + (not _agrees(key, terms))
    return Blocked(closeness * _CLOSENESS + _ORDER["field-excluded"], cell("withheld", None, "field-excluded", ("default-deny",)))


def _agrees(key: LawKey, terms: Terms) -> bool:
    purpose = key.circumstance.purpose
    return purpose in terms.agreed or (key.circumstance.acts_for_subject and purpose == RIGHTS)


def _unagreed(key: LawKey, *, named: bool, agreed: bool) -> str:
    if named and key.phase == "after":
        return "agreement-expired"
    return "purpose-not-agreed" if named and not agreed else "no-agreement"


def _order(key: LawKey, terms: Terms) -> int:
    exact = key.circumstance.purpose in terms.purposes or key.circumstance.purpose == RIGHTS
    return BASES.index(terms.basis) + (0 if exact else len(BASES))


def _said(key: LawKey, bits: int) -> dict[str, Any]:
    said = {
        "template": key.template,
        "phase": key.phase,
        "consent": key.consent,
        "excluded": sorted(key.excluded),
        "foreign": sorted(key.foreign),
        "after_restriction": key.after_restriction,
        "after_objection": key.after_objection,
        "bits": f"{bits:x}",
    }
    return stated(said)


def _cell(key: ViewKey, *, lawful: bool, tried: Sequence[tuple[Rung, Verdict]], notes: Mapping[str, Note]) -> Cell:
    for rung, verdict in tried:
        if verdict.allowed and lawful:
            mask = rung.mask[0] if rung.mask else None
            obligations = tuple(sorted({one for by in verdict.by for one in notes[by].obligations}))
            return cell(_level(rung), mask, notes[verdict.by[0]].reason, verdict.by, obligations)
    forbids = tuple(sorted({by for _, verdict in tried if not verdict.allowed for by in verdict.by}))
    reason = best_refusal(forbids, notes) or _missing(key)
    return cell("withheld", None, reason, forbids or ("default-deny",))


def _level(rung: Rung) -> Level:
    if rung.action == "view_masked":
        return "masked"
    return "token" if rung.action == "view_token" else "clear"


def _missing(key: ViewKey) -> str:
    if key.act == "reveal" and key.ticket == "verified" and key.assigned and not key.caller_verified:
        return "caller-not-verified"
    return what_is_missing(key.principal, key.roles, key.ticket, assigned=key.assigned)


def _body(found: Cell, tried: Sequence[tuple[Rung, Verdict]]) -> dict[str, Any]:
    """Return what is told of one bucket when a decision is explained: result, policies, and what blocked each rung above."""
    blocked = {
        rung.mask[0] if rung.mask else rung.action: list(verdict.by) or ["default-deny"]
        for rung, verdict in tried
        if not verdict.allowed
    }
    return {"level": found.shown.level, "mask": found.shown.mask, "by": list(found.shown.by), "blocked": blocked}
