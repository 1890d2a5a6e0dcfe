"""Policy as it runs: two tables in front of Cedar, and one answer for each context.

Misses are evaluated one at a time: the engine holds the interpreter lock anyway, and two lanes must not work out one row. A hit
is re-evaluated once a second, after its answer: a difference empties both tables, alarms, and withholds everything from then on.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from threading import Lock
from typing import Any, Final, Protocol

import rfc8785

from vault.errors import ContextIncomplete, Fault
from vault.policy import typical
from vault.policy.bundle import Bundle
from vault.policy.cache import Table
from vault.policy.cedar import CedarEngine, agreement, law_requests, notes, principal, registered, verb_request, view_requests
from vault.policy.decision import (
    POLICY_ERROR,
    best_refusal,
    deciding_order,
    lawfulness,
    plate,
    rungs,
    subjectless_plate,
    view_of,
    what_is_missing,
    with_denials,
    worked_out,
)
from vault.policy.groups import buckets
from vault.policy.inputs import Circumstance, LawKey, ViewKey, circumstance, law_key, may_know, ticket_refusal, view_key
from vault.policy.lexicon import Lexicon
from vault.policy.limits import Limits
from vault.policy.model import (
    CHANNELS,
    EVERYTHING,
    Act,
    AgreementFacts,
    CallerFacts,
    Context,
    Decision,
    Permission,
    SubjectFacts,
    TicketFacts,
)
from vault.policy.recorded import given_law, occasion_of, record
from vault.policy.rows import EngineFault, Lawfulness, Plate, Verdict, View, sound

LAW_ROWS: Final = 4_096
VIEW_ROWS: Final = 16_384
PLATES: Final = 1_024  # joined rows, for the fields that were asked for: saves work, decides nothing
RECHECK_EVERY_S: Final = 1.0
FIELD_VERBS: Final[tuple[Act, ...]] = ("find", "amend", "verify")
VERBS: Final = (
    *("enroll", "agree", "narrow", "withdraw", "show_receipt", "show_agreements", "put_ticket", "register_caller"),
    *("break_glass", "approve_break_glass", "review_break_glass", "restrict", "lift_restriction", "object", "object_to_marketing"),
    *("withdraw_objection", "overrule_objection", "obscure", "lift_obscuring", "record_death", "show_accesses"),
    *("export_subject", "show_export", "download_export"),
    *("review-search", "review-open", "review-note", "review-filter", "log-export"),
    *("ask_unmask", "approve_unmask", "unmask"),
    *("open_breach", "advance_breach", "show_breach", "show_affected", "erase"),
    *("open_request", "show_request", "move_request", "hold", "show_recipients", "show_processing"),
    *("show_tasks", "answer_task", "show_retention", "approve_retention", "show_certificate", "rectify", "tell_contact"),
    *("serve_notice", "show_served_notices", "show_sources", "forbid_after_death"),
)

Alarm = Callable[[str], None]
Json = dict[str, Any]


class PolicyEngine(Protocol):
    """What evaluates requests in Cedar's terms: one verdict each, errors as verdicts."""

    def evaluate(self, entities: Sequence[Json], requests: Sequence[Json]) -> list[Verdict]:
        """Return one verdict for each request, with these entities beside the closed world."""
        ...


def no_alarm(_code: str) -> None:
    """Tell nobody."""


class Policy:
    """One bundle, deciding. A new bundle is a new `Policy` with empty tables, so a digest need not be in any key."""

    def __init__(self, bundle: Bundle, engine: PolicyEngine | None = None, alarm: Alarm = no_alarm) -> None:
        """`alarm` is told `policy-error` or `policy-difference`; nothing else is known of it."""
        self._bundle, self._alarm = bundle, alarm
        self._lexicon = bundle.lexicon
        self.limits = Limits.of(bundle.limits)
        self.regimes = bundle.regimes
        self.periods, self.refusals = bundle.periods, bundle.refusals
        self.onco_terms = bundle.onco_terms
        self.notices, self.keeping = bundle.notices, bundle.keeping
        self._granted = {reference: self._lexicon.granted(reference) for reference in self._lexicon.terms}
        self._held_classes = {reference: self._lexicon.held_classes(reference, frozenset()) for reference in self._lexicon.terms}
        self._engine = engine or CedarEngine(bundle.policies, bundle.lexicon)
        self._notes = notes(bundle.policies)
        self._groups = bundle.groups
        self._laws: Table[LawKey, Lawfulness] = Table(LAW_ROWS)
        self._views: Table[ViewKey, View] = Table(VIEW_ROWS)
        self._all_fields = frozenset(self.fields)
        self._missing = Lock()
        self._typical: Mapping[str, Json] = bundle.matrix["contexts"]
        self._roles = frozenset(role for one in self._typical.values() for role in one["roles"])
        self._default_fields: dict[frozenset[str], tuple[str, ...]] = {}
        self._plates: Table[tuple[tuple[str, ...], View, tuple[Lawfulness, ...]], Plate] = Table(PLATES)
        self._sample: tuple[list[LawKey], list[tuple[Lawfulness, AgreementFacts]], ViewKey, View] | None = None
        self._recheck_at, self._rechecked = 0.0, 0
        self._stopped = False

    @property
    def digest(self) -> str:
        """Return `sha256:` and the hex digest of the bundle."""
        return self._bundle.digest

    @property
    def bundle(self) -> Bundle:
        """Return what it decides by: its documents are to be read only."""
        return self._bundle

    @property
    def lexicon(self) -> Lexicon:
        """Return what this bundle can speak about."""
        return self._lexicon

    @property
    def fields(self) -> tuple[str, ...]:
        """Return the names of all fields, in the catalogue's order."""
        return tuple(one.name for one in self._lexicon.fields)

    @property
    def purposes(self) -> frozenset[str]:
        """Return the closed list of purposes."""
        return frozenset(self._lexicon.purposes)

    @property
    def about_others(self) -> frozenset[str]:
        """Return the purposes that touch somebody else by their nature: what was done for them tells of that person too."""
        return frozenset(name for name, one in self._bundle.vocabulary["purposes"].items() if one.get("about_others"))

    @property
    def recipients(self) -> frozenset[str]:
        """Return the parties of the register of recipients."""
        return frozenset(self._lexicon.recipients)

    @property
    def parties(self) -> Mapping[str, Json]:
        """Return the register of recipients: of each its labels and the ground on which data may leave the EEA to it."""
        parties: Mapping[str, Json] = self._bundle.recipients["recipients"]
        return parties

    @property
    def catalogue_digest(self) -> str:
        """Return the SHA-256 of the catalogue's file."""
        return f"sha256:{sha256(self._bundle.files['catalogue.yaml']).hexdigest()}"

    def terms_document(self, reference: str) -> bytes:
        """Return a template as its digest reads it: RFC 8785, each text as its SHA-256."""
        return rfc8785.dumps(dict(self._bundle.templates[reference]))

    def texts(self, reference: str) -> dict[str, bytes]:
        """Return the words people agree to, by language."""
        return {
            language: self._bundle.text(reference, language).encode() for language in self._bundle.templates[reference]["texts"]
        }

    def granted_fields(self, reference: str) -> frozenset[str]:
        """Return the fields an agreement of this template (`id@version`) grants: named, not excluded, allowed by Art. 9."""
        return self._granted[reference]

    def held_classes(self, reference: str, excluded: frozenset[str] = frozenset()) -> tuple[str, ...]:
        """Return the classes whose key an agreement of this template holds a wrap of: all it grants some field of.

        `excluded` are fields the person left out: a class of which nothing is left is not held.
        """
        return self._lexicon.held_classes(reference, excluded) if excluded else self._held_classes[reference]

    def default_fields(self, roles: Iterable[str]) -> tuple[str, ...]:
        """Return the fields a profile shows when none is named: those whose cell for one of the roles is neither `·` nor V."""
        held = frozenset(roles) & self._roles
        found = self._default_fields.get(held)
        if found is None:
            try:
                shown = set().union(
                    *(self._typically_shown(one) for one in self._typical.values() if held.issuperset(one["roles"]))
                )
            except EngineFault:
                self._alarm("policy-error")
                return ()
            found = self._default_fields[held] = tuple(name for name in self.fields if name in shown)
        return found

    def decide(
        self,
        context: Context,
        act: Act,
        caller: CallerFacts,
        ticket: TicketFacts,
        subject: SubjectFacts,
        fields: Iterable[str],
    ) -> Decision:
        """Return how each asked field may be shown. Raises ContextIncomplete for a purpose, channel or field of no closed list."""
        asked = tuple(fields)
        self._require_known(context, asked)
        if self._stopped:
            return self._failed(subject, asked)
        if EVERYTHING in subject.restricted:
            subject = subject._replace(restricted=self._all_fields)
        try:
            return self._decided(context, act, caller, ticket, subject, asked)
        except EngineFault:
            self._alarm("policy-error")
            return self._failed(subject, asked)

    def may(self, verb: str, context: Context, caller: CallerFacts, ticket: TicketFacts, *, is_self: bool = False) -> Permission:
        """Return whether the caller may use a verb; of the verbs on fields: on at least one, and `decide` says on which.

        Verbs are VERBS, FIELD_VERBS and `reveal`; another raises ValueError.
        """
        person = SubjectFacts(context.caller.subject_id or "" if is_self else "", ())
        key = view_key(context, "profile", caller, ticket, person, self._lexicon.everything, 0)
        if self._stopped:
            return Permission(allowed=False, because="policy-error")
        try:
            verdict = self._judged(verb, key)
        except EngineFault:
            self._alarm("policy-error")
            return Permission(allowed=False, because="policy-error")
        if verdict.allowed:
            return Permission(allowed=True, because=self._notes[verdict.by[0]].reason, by=verdict.by)
        missing = best_refusal(verdict.by, self._notes)
        missing = missing or what_is_missing(key.principal, key.roles, key.ticket, assigned=key.assigned)
        return Permission(allowed=False, because=missing, by=verdict.by, ticket=ticket_refusal(key))

    def warm(self, enough: Callable[[], bool] = lambda: False) -> None:
        """Work out the rows of the table of roles for persons as they are most often met, until that is enough."""
        for stated in self._typical.values():
            if enough():
                return
            self.default_fields(stated["roles"])
            for person in typical.persons(self._bundle.templates):
                self.decide(
                    typical.context_of(stated), "profile", typical.caller_of(stated), typical.ticket_of(stated), person, self.fields
                )

    def recheck(self, at: float) -> bool:
        """Re-evaluate one row the latest answer rested on, at most once a second; `at` is monotonic, in seconds.

        The row of gate 2 and those of gate 1 come in turn. To be called after an answer has left. Returns False when the row comes
        out otherwise, or not at all: both tables are emptied and everything is withheld from then on.
        """
        sample, self._sample = self._sample, None
        if sample is None or at < self._recheck_at:
            return not self._stopped
        self._recheck_at = at + RECHECK_EVERY_S
        keys, laws, key, row = sample
        turn = self._rechecked % (1 + len(keys))
        self._rechecked += 1
        try:
            same = laws[turn - 1][0].same_as(self._law_row(keys[turn - 1])) if turn else row.same_as(self._view_row(key))
        except EngineFault:
            same = False
        if not same:
            self._stopped = True
            for table in (self._laws, self._views, self._plates):
                table.clear()
            self._alarm("policy-difference")
        return same

    def law(self, key: LawKey) -> Lawfulness:
        """Return gate 1's row of a key. Raises EngineFault for a template or recipient of no closed list."""
        return self._law(key)

    def view(self, key: ViewKey) -> View:
        """Return gate 2's row of a key. Raises EngineFault when an evaluation failed."""
        return self._view(key)

    def law_anew(self, key: LawKey) -> Lawfulness:
        """Return gate 1's row of a key as the engine works it out now, whatever the table says. Raises EngineFault likewise."""
        with self._missing:
            return self._law_row(key)

    def view_anew(self, key: ViewKey) -> tuple[View, Json]:
        """Return gate 2's row as the engine works it out now, and its body: policies, and what blocked each rung, by field."""
        with self._missing:
            return self._view_explained(key)

    def occasions(self, roles: frozenset[str]) -> tuple[Json, ...]:
        """Return the contexts of the table of roles made for these roles: what is theirs to ask for."""
        return tuple(one for one in self._typical.values() if roles.issuperset(one["roles"]))

    def alarm(self, code: str) -> None:
        """Tell whoever watches that something is not as it must be."""
        self._alarm(code)

    def _require_known(self, context: Context, asked: tuple[str, ...]) -> None:
        known = self._lexicon.positions
        if context.purpose in self._lexicon.purposes and context.channel in CHANNELS and all(map(known.__contains__, asked)):
            return
        faults = [Fault("fields", "unknown")] if not all(name in known for name in asked) else []
        if context.purpose not in self._lexicon.purposes:
            faults.append(Fault("Vault-Purpose", "unknown"))
        if context.channel not in CHANNELS:
            faults.append(Fault("Vault-Channel", "unknown"))
        raise ContextIncomplete(faults=faults)

    def _decided(
        self,
        context: Context,
        act: Act,
        caller: CallerFacts,
        ticket: TicketFacts,
        subject: SubjectFacts,
        asked: tuple[str, ...],
    ) -> Decision:
        shared = circumstance(context, act, caller, ticket, subject)
        held = subject.agreements if act != "find" else ()  # a look-up is about nobody yet
        keys = [law_key(one, shared) for one in held]
        laws = [(self._law(key), one) for key, one in zip(keys, held, strict=True)]
        lawful = after = 0
        for law, one in laws:
            lawful |= law.bits
            if one.after_restriction:
                after |= law.bits
        key = view_key(context, act, caller, ticket, subject, self._lexicon.everything if act == "find" else lawful, after)
        row = self._view(key)
        self._sample = (keys, laws, key, row)
        if caller.denied:
            row = with_denials(self._lexicon, row, caller.denied)
        if len(laws) > 1:
            laws = sorted(laws, key=deciding_order)
        rows = tuple([law for law, _ in laws])
        filled = self._plate(asked, row, rows, shared, subjectless=act == "find", keep=bool(laws) and not caller.denied)
        resting = {laws[one.number][1].agreement_id: one.fields for one in filled.shares}
        shows = bool(resting) or (act == "find" and any(one.level != "withheld" for one in filled.fields.values()))
        restricted = not shows and self._would_show(context, act, caller, ticket, subject, asked)
        hidden = not (shows or restricted or may_know(key))
        kept = record(self._bundle.digest, subject.subject_id, laws, row, filled, occasion_of(context, ticket))
        why = ticket_refusal(key) if hidden else None
        return Decision(self._bundle.digest, filled.fields, hidden, restricted, kept, filled.levels, resting, told=why)

    def _plate(
        self,
        asked: tuple[str, ...],
        row: View,
        laws: tuple[Lawfulness, ...],
        shared: Circumstance,
        *,
        subjectless: bool,
        keep: bool,
    ) -> Plate:
        """Return the plate of these rows: by their identity, since a row never changes and its key holds it alive.

        Not kept: without rows of gate 1 the circumstance is in no part of the key; a row with denials is made for one answer.
        """
        key = (asked, row, laws)
        filled = self._plates.find(key)
        if filled is None:
            places = [(name, self._lexicon.positions[name]) for name in asked]
            given = given_law(self._lexicon, shared)
            filled = subjectless_plate(places, row, given) if subjectless else plate(places, row, laws, given)
            if keep:
                self._plates.put(key, filled)
        return filled

    def _would_show(
        self,
        context: Context,
        act: Act,
        caller: CallerFacts,
        ticket: TicketFacts,
        subject: SubjectFacts,
        asked: tuple[str, ...],
    ) -> bool:
        """Whether something would be shown if processing were not restricted."""
        if not subject.restricted:
            return False
        free = self._decided(context, act, caller, ticket, subject._replace(restricted=frozenset()), asked)
        return any(one.level != "withheld" for one in free.fields.values())

    def _failed(self, subject: SubjectFacts, asked: tuple[str, ...]) -> Decision:
        return Decision(
            bundle=self._bundle.digest,
            fields=dict.fromkeys(asked, POLICY_ERROR.shown),
            hidden=True,
            restricted=False,
            record={"bundle": self._bundle.digest, "subject": subject.subject_id, "failed": True},
            levels=dict.fromkeys(asked, "withheld"),
            failed=True,
        )

    def _typically_shown(self, stated: Json) -> set[str]:
        """Return what a context of the table of roles shows of a person for whom everything is lawful."""
        context, caller, ticket = typical.context_of(stated), typical.caller_of(stated), typical.ticket_of(stated)
        row = self._view(view_key(context, "profile", caller, ticket, typical.person_with(()), self._lexicon.everything, 0))
        return {field for field, place in self._lexicon.positions.items() if row.cells[place].shown.level != "withheld"}

    def _judged(self, verb: str, key: ViewKey) -> Verdict:
        if verb in FIELD_VERBS or verb == "reveal":
            cells = self._view(key._replace(act=verb)).cells  # type: ignore[arg-type]  # one of the two lists
            shown = next((one.shown for one in cells if one.shown.level != "withheld"), None)
            return Verdict(allowed=False, by=()) if shown is None else Verdict(allowed=True, by=shown.by)
        if verb not in VERBS:
            raise ValueError("no such verb")
        caller = principal(key.principal, key.roles, key.training)
        return sound(self._engine.evaluate([caller], [verb_request(verb, key)])[0])

    def _law(self, key: LawKey) -> Lawfulness:
        row = self._laws.find(key)
        if row is None:
            with self._missing:
                row = self._laws.find(key) or self._law_row(key)
                self._laws.put(key, row)
        return row

    def _view(self, key: ViewKey) -> View:
        row = self._views.find(key)
        if row is None:
            with self._missing:
                row = self._views.find(key) or self._view_row(key)
                self._views.put(key, row)
        return row

    def _law_row(self, key: LawKey) -> Lawfulness:
        terms = self._lexicon.terms.get(key.template)
        if terms is None or key.circumstance.recipient not in self._lexicon.recipients:
            raise EngineFault
        masks = (self._lexicon.mask(one) for one in (key.excluded, key.foreign, key.circumstance.restricted))
        parts = buckets(self._lexicon, self._groups["law"], *masks)
        verdicts = self._engine.evaluate([agreement(terms, key), *registered(self._lexicon, key)], law_requests(key, parts))
        return lawfulness(self._lexicon, key, parts, verdicts, self._notes)

    def _view_row(self, key: ViewKey) -> View:
        return self._view_explained(key)[0]

    def _view_explained(self, key: ViewKey) -> tuple[View, Json]:
        masks = (key.lawful, key.after_restriction, self._lexicon.mask(key.restricted), self._lexicon.mask(key.request_fields))
        parts = buckets(self._lexicon, self._groups[key.act if key.act in FIELD_VERBS else "view"], *masks)
        ladders = [(part, rungs(key, part)) for part in parts]
        verdicts = self._engine.evaluate([principal(key.principal, key.roles, key.training)], view_requests(key, ladders))
        cells, body = worked_out(self._lexicon, key, ladders, iter(verdicts), self._notes)
        return view_of(self._lexicon, key, cells, body), body
