"""Handle a breach of personal data: open it, assess it, keep the notices as sent, close it (GDPR 33, 34).

The clock starts when a person is aware, and says why then; what the law gives is data (`policies/regimes.yaml`) and is stored with
the breach, version and all. A deadline is computed as soon as its beginning is known and never moves. What is late stays late, and
says why. Everything stays on the register, whether it was notified or not (33(5)).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from vault import breaches
from vault.assembly import Vault
from vault.breaches import BreachRow, DeadlineRow, Phase, PhaseRow, Register
from vault.errors import Conflict, Fault, InvalidValue, NotFound
from vault.operations.acting import Acting, carrying_out, prepare, record, refuse, require_permission
from vault.operations.reveal import text_fault
from vault.operations.sealed_words import Words, sealed_words, word_faults
from vault.outbox import announce
from vault.policy.model import Context
from vault.policy.regimes import Regime, deadlines, selected

KINDS: Final = ("confidentiality", "integrity", "availability")
RISKS: Final = ("unlikely", "likely", "high")
EXEMPTIONS: Final = ("ineffective", "risk-removed", "disproportionate")  # Art. 34(3)(a), (b), (c)


@dataclass(frozen=True, slots=True)
class Report:
    """A breach somebody is aware of. `regimes` are names, as of the law in force on that day."""

    aware_at: datetime
    kinds: Sequence[str]
    summary: str = field(repr=False)
    aware_because: str = field(repr=False)
    regimes: Sequence[str] = ("breach-gdpr",)
    detected_at: datetime | None = None
    classified_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Assessment:
    """What Art. 33(3) asks, as far as it is known. `exposed_keys`: classes of which a key was exposed with the data."""

    risk: str
    consequences: str = field(repr=False)
    measures: str = field(repr=False)
    subjects: int | None = None
    records: int | None = None
    classes: Sequence[str] = ()
    exposed_keys: Sequence[str] = ()
    classified_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice to an authority, as it was sent. `reasons`: why it is late."""

    regime: str
    notice: str
    sent_at: datetime
    said: str = field(repr=False)
    reference: str | None = None
    reasons: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Telling:
    """How people were told (34(1)), or on which ground they need not be (34(3))."""

    how: str  # individual public not-needed
    at: datetime
    said: str = field(repr=False)
    count: int | None = None
    exemption: str | None = None


@dataclass(frozen=True, slots=True)
class Advanced:
    """The answer: where the breach stands, and what is due."""

    breach_id: str
    state: str
    deadlines: Sequence[DeadlineRow]
    entry_id: str


def open_breach(vault: Vault, context: Context, report: Report) -> Advanced:
    """Open a breach. Raises InvalidValue naming each member that is wrong, AccessDenied, Conflict `regimes-not-in-bundle`."""
    acting = prepare(vault, "open_breach", context)
    require_permission(vault, acting)
    chosen = _chosen(vault, context.controller_id, report)
    words = {"summary": report.summary, "aware_because": report.aware_because}
    faults = [
        *word_faults(words, *words), *_unless(set(report.kinds) <= set(KINDS) and bool(report.kinds), "/kinds", "kinds.unknown"),
        *_unless(report.aware_at <= vault.now(), "/aware_at", "instant.ahead"),
        *_unless(report.detected_at is None or report.detected_at <= report.aware_at, "/detected_at", "instant.after-aware"),
        *_unless(report.classified_at is None or report.classified_at <= vault.now(), "/classified_at", "instant.ahead"),
        *_unless(None not in chosen.values() and bool(chosen), "/regimes", "regime.unknown"),
    ]  # fmt: skip
    if faults:
        raise refuse(vault, acting, InvalidValue(faults=faults))
    breach_id = vault.new_id("brc")
    regimes = [one for one in chosen.values() if one is not None]
    known = {"aware": report.aware_at} | ({"classified": report.classified_at} if report.classified_at is not None else {})
    due = [DeadlineRow(**asdict(one)) for regime in regimes for one in deadlines(regime, known, _zone(vault, acting))]
    version, sealed = sealed_words(vault, context.controller_id, breach_id, 0, words)
    made = BreachRow(
        breach_id, sorted(set(report.kinds)), [one.reference for one in regimes], report.detected_at, report.aware_at, acting.at,
        context.caller.id, version, sealed, acting.entry_id,
    )  # fmt: skip
    record(vault, acting, details={"result": "opened", "breach": breach_id})
    with carrying_out(vault, acting) as transaction:
        breaches.add_breach(transaction, context.controller_id, made)
        breaches.add_deadlines(transaction, context.controller_id, breach_id, due, acting.entry_id)
        announce(transaction, vault, context.controller_id, "breach:opened", acting.entry_id, acting.at, breach_id=breach_id)
    return Advanced(breach_id, "open", due, acting.entry_id)


def assess_breach(vault: Vault, context: Context, breach_id: str, found: Assessment) -> Advanced:
    """Say what is known of it, again whenever more is (33(4)). Raises InvalidValue, NotFound, AccessDenied, Conflict."""
    words = {"consequences": found.consequences, "measures": found.measures}
    classes = {*found.classes, *found.exposed_keys}
    faults = [
        *word_faults(words, *words), *_unless(found.risk in RISKS, "/risk", "risk.unknown"),
        *_unless(classes <= set(vault.catalogue.classes), "/classes", "class.unknown"),
        *_unless(all(one is None or one >= 0 for one in (found.subjects, found.records)), "/subjects", "count.negative"),
        *_unless(found.classified_at is None or found.classified_at <= vault.now(), "/classified_at", "instant.ahead"),
    ]  # fmt: skip

    def stated(_: Acting, now: Register) -> Mapping[str, Any]:
        kept = {one.reference: one for one in vault.policy.regimes}
        not_needed = [one for one in now.breach.regimes if one in kept and not kept[one].needed_if_unlikely]
        return {
            "risk": found.risk, "subjects": found.subjects, "records": found.records, "classes": sorted(found.classes),
            "exposed_keys": sorted(found.exposed_keys), "not_needed": not_needed if found.risk == "unlikely" else [],
            "classified_at": _said(found.classified_at),
        }  # fmt: skip

    return _advance(vault, context, breach_id, "assessed", words, faults, stated)


def notify_breach(vault: Vault, context: Context, breach_id: str, notice: Notice) -> Advanced:
    """Keep a notice as it was sent. One after its deadline says why: InvalidValue `late.reasons-needed` without."""
    words = {"said": notice.said, "reasons": notice.reasons}
    faults = [*word_faults(words, "said"), *_unless(notice.sent_at <= vault.now(), "/sent_at", "instant.ahead")]

    def stated(acting: Acting, now: Register) -> Mapping[str, Any]:
        reference = next((one for one in now.breach.regimes if one.partition("@")[0] == notice.regime), None)
        regime = next((one for one in vault.policy.regimes if one.reference == reference), None)
        if reference is not None and regime is None:
            raise refuse(vault, acting, Conflict("regime-not-in-bundle"))
        if regime is None or notice.notice not in regime.notices:
            raise _unfit(vault, acting, "/notice", "notice.not-of-regime")
        if notice.sent_at < now.breach.aware_at:
            raise _unfit(vault, acting, "/sent_at", "instant.before-aware")
        due = now.due(regime.reference, notice.notice)
        late = due is not None and notice.sent_at > due
        if late and text_fault(notice.reasons, needed=True) is not None:
            raise _unfit(vault, acting, "/reasons", "late.reasons-needed")
        return {
            "regime": regime.reference, "notice": notice.notice, "sent_at": _said(notice.sent_at), "late": late,
            "reference": notice.reference,
        }  # fmt: skip

    return _advance(vault, context, breach_id, "notified", words, faults, stated)


def tell_subjects_of_breach(vault: Vault, context: Context, breach_id: str, telling: Telling) -> Advanced:
    """Keep how people were told, or why not.

    That what was taken is unintelligible (34(3)(a)) is no ground where a key was exposed with it, or nobody said that none was:
    Conflict `keys-exposed`, `not-assessed`.
    """
    words = {"said": telling.said}
    exempt = telling.how == "not-needed"
    faults = [
        *word_faults(words, "said"), *_unless(telling.how in ("individual", "public", "not-needed"), "/how", "how.unknown"),
        *_unless(telling.at <= vault.now(), "/at", "instant.ahead"),
        *_unless((telling.exemption in EXEMPTIONS) if exempt else telling.exemption is None, "/exemption", "exemption.unfit"),
    ]  # fmt: skip

    def stated(acting: Acting, now: Register) -> Mapping[str, Any]:
        if telling.exemption == "ineffective":
            if now.assessment is None:
                raise refuse(vault, acting, Conflict("not-assessed"))
            if now.assessment["exposed_keys"]:
                raise refuse(vault, acting, Conflict("keys-exposed"))
        return {"how": telling.how, "at": _said(telling.at), "count": telling.count, "exemption": telling.exemption}

    return _advance(vault, context, breach_id, "subjects-told", words, faults, stated)


def close_breach(vault: Vault, context: Context, breach_id: str, reasons: str) -> Advanced:
    """Close it. Raises Conflict: `not-assessed`, `notices-missing` naming each, `subjects-not-told` where the risk is high."""
    words = {"reasons": reasons}

    def stated(acting: Acting, now: Register) -> Mapping[str, Any]:
        assessed = now.assessment
        if assessed is None:
            raise refuse(vault, acting, Conflict("not-assessed"))
        if unsent := now.unsent(acting.at):
            faults = [Fault(f"/{one.regime}/{one.notice}", "notice.missing") for one in unsent]
            raise refuse(vault, acting, Conflict("notices-missing", faults=faults))
        if assessed["risk"] == "high" and not any(one.phase == "subjects-told" for one in now.phases):
            raise refuse(vault, acting, Conflict("subjects-not-told"))
        return {}

    return _advance(vault, context, breach_id, "closed", words, list(word_faults(words, "reasons")), stated)


def _advance(
    vault: Vault,
    context: Context,
    breach_id: str,
    phase: Phase,
    words: Words,
    faults: Sequence[Fault],
    stated: Callable[[Acting, Register], Mapping[str, Any]],
) -> Advanced:
    """Add what was done about a breach, and the deadlines that follow from it."""
    acting = prepare(vault, "advance_breach", context)
    require_permission(vault, acting)
    if faults:
        raise refuse(vault, acting, InvalidValue(faults=faults))
    now = required_breach(vault, acting, breach_id)
    if now.closed:
        raise refuse(vault, acting, Conflict("breach-closed"))
    said = stated(acting, now)
    number = len(now.phases) + 1
    version, sealed = sealed_words(vault, context.controller_id, breach_id, number, words)
    made = PhaseRow(number, phase, said, acting.at, context.caller.id, version, sealed, acting.entry_id)
    after = replace(now, phases=[*now.phases, made])
    due = list(_new_deadlines(vault, acting, after))
    record(vault, acting, details={"result": phase, "breach": breach_id}, internal={"phase": number})
    with carrying_out(vault, acting) as transaction:
        breaches.add_phase(transaction, context.controller_id, breach_id, made)
        breaches.add_deadlines(transaction, context.controller_id, breach_id, due, acting.entry_id)
        if phase == "closed":
            announce(transaction, vault, context.controller_id, "breach:closed", acting.entry_id, acting.at, breach_id=breach_id)
    return Advanced(breach_id, after.state, [*now.deadlines, *due], acting.entry_id)


def required_breach(vault: Vault, acting: Acting, breach_id: str) -> Register:
    """Return a breach. Raises the recorded 404 where there is none."""
    with vault.database.snapshot(acting.context.controller_id) as rows:
        found = breaches.register(rows, acting.context.controller_id, breach_id)
    if found is None:
        raise refuse(vault, acting, NotFound("breach-not-found"))
    return found


def _new_deadlines(vault: Vault, acting: Acting, after: Register) -> Iterator[DeadlineRow]:
    """Yield what can be computed now and could not before; what stands stays, whatever the law says meanwhile."""
    standing = {(one.regime, one.step) for one in after.deadlines}
    classified = (after.assessment or {}).get("classified_at")
    begun = {"classified": datetime.fromisoformat(classified)} if classified is not None else {}
    for regime in vault.policy.regimes:
        if regime.reference in after.breach.regimes:
            known = {"aware": after.breach.aware_at, **begun, **after.sent(regime.reference)}
            for one in deadlines(regime, known, _zone(vault, acting)):
                if (one.regime, one.step) not in standing:
                    yield DeadlineRow(**asdict(one))


def _chosen(vault: Vault, controller_id: str, report: Report) -> dict[str, Regime | None]:
    """Return the law in force on the day, by name."""
    on = report.aware_at.astimezone(vault.controller(controller_id).zone).date()
    return {name: selected(vault.policy.regimes, name, on) for name in dict.fromkeys(report.regimes)}


def _zone(vault: Vault, acting: Acting) -> Any:
    return vault.controller(acting.context.controller_id).zone


def _said(at: datetime | None) -> str | None:
    return at.isoformat() if at is not None else None


def _unless(right: bool, pointer: str, code: str) -> list[Fault]:
    return [] if right else [Fault(pointer, code)]


def _unfit(vault: Vault, acting: Acting, pointer: str, code: str) -> InvalidValue:
    error = InvalidValue(faults=[Fault(pointer, code)])
    refuse(vault, acting, error)
    return error
