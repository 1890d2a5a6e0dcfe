"""From rows to what policy may know: nouns do not meet, so the verb carries facts across."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType

from vault.agreements.terms import band_at, standing
from vault.keys import frame
from vault.keys.data_keys import SealedClass
from vault.keys.frame import Frame
from vault.policy.model import (
    Act,
    AgreementFacts,
    BreakGlass,
    Caller,
    CallerFacts,
    Context,
    PartyTerms,
    SubjectFacts,
    TicketFacts,
    TicketState,
)
from vault.profiles.catalogue import Catalogue
from vault.profiles.records import AgreementRow, CallerRow, DenialRow, GrantRow, Person, Proof, Snapshot, TermsRow
from vault.recipients.register import contract_holds
from vault.tickets import Question, Said, TicketDirectory

OPEN = frozenset({"open", "pending"})
NOBODY_ID = "-"  # the subject of a verb that acts on nobody
NO_ONE_AGREED = SubjectFacts(subject_id="", agreements=())  # an unknown subject is decided on all the same


def caller_facts(catalogue: Catalogue, context: Context, read: Snapshot, at: datetime) -> CallerFacts:
    """Return what the register says of this caller now, and what is denied them here."""
    facts = _registered(context.caller, read.callers, at)
    terms = read.terms.get(facts.recipient)
    if terms is not None and context.caller.kind != "subject":
        facts = replace(facts, terms=terms_at(terms, at))
    denied = denied_fields(catalogue, read.denials, context, facts, at) if read.denials else None
    return replace(facts, denied=denied) if denied else facts


def _registered(caller: Caller, callers: Mapping[str, CallerRow], at: datetime) -> CallerFacts:
    """Customers are not registered: their token binds them to themselves.

    An agent for whom a system acts is nobody unless the register says that this system may.
    """
    if caller.kind == "subject":
        return CallerFacts(roles=frozenset({"customer"}), recipient="subject")
    row = callers.get(caller.id)
    unfit = _unfit(row, at)
    if row is None or unfit is not None:
        return CallerFacts(unfit=unfit)
    if caller.actor is not None:
        system = callers.get(caller.actor)
        if system is None or _unfit(system, at) is not None or not system.acts_for_agents:
            return CallerFacts(unfit="actor-not-registered")
    trained = frozenset(name for name, until in row.training.items() if until is None or at < until)
    return CallerFacts(caller.roles & row.roles, trained, row.recipient, row.region, row.team)


def terms_at(row: TermsRow, at: datetime) -> PartyTerms:
    """Return the terms of a recipient at an instant: what ended has no agreement any more."""
    sound = not row.ended and contract_holds(row.role, row.contract_from, row.contract_until, at)
    return PartyTerms(row.party, sound, row.transfer_tool, row.country)


def parties(caller: Caller) -> tuple[str, ...]:
    """Return the lines of the register that an access of this caller rests on."""
    return (caller.id,) if caller.actor is None else (caller.id, caller.actor)


def _unfit(row: CallerRow | None, at: datetime) -> str | None:
    if row is None:
        return "not-registered"
    if at < row.valid_from:
        return "not-yet-registered"
    return "registration-ended" if row.valid_until is not None and at >= row.valid_until else None


def denied_fields(
    catalogue: Catalogue, denials: Iterable[DenialRow], context: Context, caller: CallerFacts, at: datetime
) -> frozenset[str]:
    """Return the fields that emergency denials withhold from this caller here: those named, or of the class, or else all.

    A denial is in force from when it can be read; only its end is a matter of clocks.
    """
    met = [one for one in denials if at < one.ends_at and _meets(one, context, caller)]
    return frozenset(
        field.name
        for field in catalogue.fields.values()
        for one in met
        if one.field in (None, field.name) and one.class_name in (None, field.class_name)
    )


def _meets(one: DenialRow, context: Context, caller: CallerFacts) -> bool:
    return (
        (one.role is None or one.role in caller.roles)
        and one.caller_id in (None, context.caller.id, context.caller.actor)
        and one.purpose in (None, context.purpose)
        and one.channel in (None, context.channel)
        and one.recipient in (None, caller.recipient, caller.party)
    )


def ticket_facts(
    directory: TicketDirectory, context: Context, caller: CallerFacts, subject_id: str, read: Snapshot, at: datetime
) -> TicketFacts:
    """Return how far the stated ticket justifies this access: whose it is, open, about this subject, and what was proved on it.

    Whose it is comes first: of a ticket that is not the caller's nothing else is told (`ticket_refusal`). Its number is no secret:
    it says nothing for whoever is not registered, nor for a customer about somebody else.
    """
    if not caller.roles or (context.caller.kind == "subject" and context.caller.subject_id != subject_id):
        return TicketFacts("none")
    here = read.person(subject_id).subject is not None
    open_ones = read.assigned.get((subject_id, context.caller.id), ()) if here else ()
    topics = {one.topic for one in open_ones}
    if "request" in topics and "dsr-officer" in caller.roles and context.purpose == "rights-fulfilment":
        of = [one.fields for one in open_ones if one.topic == "request"]
        return TicketFacts(
            "verified", assigned=True, in_care="care" in topics, request_assigned=True,
            request_fields=frozenset().union(*of) if all(of) else frozenset(),
        )  # fmt: skip
    if context.ticket_id is None:
        return TicketFacts("none", in_care="care" in topics)
    row = read.tickets.get(context.ticket_id)
    pushed = None if row is None else Said(*row[1:])
    asked = Question(context.controller_id, context.caller.id, context.ticket_id, subject_id)
    said = directory.said(asked, pushed, at)
    if said is None:
        return TicketFacts("asserted", in_care="care" in topics)  # nobody has said that it is not so
    age_s = max(0, int((at - said.at).total_seconds()))
    if said.state == "absent":
        return TicketFacts("none", in_care="care" in topics, age_s=age_s)
    theirs, open_ = _is_theirs(said, context.caller.id, caller), said.state in OPEN
    if not (open_ and subject_id == said.subject_id):  # known to justify nothing here: less than one that is not known
        fault: TicketState = "not-yours" if not theirs else "of-another-person" if open_ else "closed"
        on_nobody = subject_id == NOBODY_ID and fault == "of-another-person"  # about somebody, when nobody is acted on yet
        return TicketFacts("asserted" if on_nobody else fault, in_care="care" in topics, age_s=age_s)
    if not here:
        # About somebody who is not here: as one nobody has heard of. Of a colleague's that would tell that they are not.
        return TicketFacts("asserted" if theirs else "not-yours", age_s=age_s)
    return TicketFacts(
        "verified",
        assigned=theirs,
        in_care="care" in topics,
        caller_verified=not _died(read.person(subject_id))
        and proved(read.proofs.get((subject_id, context.caller.id, context.ticket_id), ()), at),
        age_s=age_s,
    )


def proved(proofs: Iterable[Proof], at: datetime) -> bool:
    """Return whether somebody is who they say: the phrase, or a fact of the relation and a civil one.

    Facts of the relation stand in clear before the agent: two of them would prove what the agent has read. Civil facts are known to
    family and on the register, so together they count once.
    """
    kinds = {one.kind for one in proofs if one.until is not None and at < one.until}
    return "phrase" in kinds or {"relation", "civil"} <= kinds


def break_glass_state(
    grants: Iterable[GrantRow], context: Context, caller: CallerFacts, act: Act, names: Collection[str] | None, at: datetime
) -> BreakGlass:
    """Return whether a grant lifts role and assignment here: on its ticket, for its purpose, in its time, of its fields alone.

    Never for a profile's default fields, and never for an export.
    """
    if act != "reveal" or not names or "break-glass-eligible" not in caller.roles:
        return "none"
    valid = [
        one
        for one in grants
        if one.opened_at <= at < one.expires_at
        and (one.ticket_id, one.purpose) == (context.ticket_id, context.purpose)
        and one.fields.issuperset(names)
    ]
    return "approved" if any(one.approved for one in valid) else "open" if valid else "none"


def is_self(context: Context, subject_id: str, person: Person) -> bool:
    """Return whether the caller is this person. The token of somebody who has died is nobody's."""
    caller = context.caller
    return caller.kind == "subject" and caller.subject_id == subject_id and not _died(person)


def as_known(context: Context, subject_id: str, person: Person) -> tuple[Person, dict[str, Frame]]:
    """Return the person and their frames as this caller may know them: without what the person has obscured.

    To all but the person it is as if these values had never been: a class with nothing else in it is not there. Raises Unreadable.
    """
    frames = {name: frame.read(row.frame) for name, row in person.frames.items()}
    obscured = person.subject.obscured if person.subject is not None else ()
    if not obscured or is_self(context, subject_id, person):
        return person, frames
    bare = {name: one.without(obscured) for name, one in frames.items()}
    seen = {name: one for name, one in bare.items() if one.entries}
    return replace(person, frames={name: row for name, row in person.frames.items() if name in seen}), seen


def _died(person: Person) -> bool:
    return person.subject is not None and person.subject.deceased


def _is_theirs(ticket: Said, caller_id: str, caller: CallerFacts) -> bool:
    """Return whether the ticket is this caller's, or for the first tier their team's."""
    team = "t1" in caller.roles and ticket.team is not None and ticket.team == caller.team
    return ticket.assignee == caller_id or team


def subject_facts(subject_id: str, person: Person, at: datetime, frames: Iterable[Frame] = ()) -> SubjectFacts:
    """Return what the gates may know of a person: states and agreements, never a value.

    `frames` name the agreement each field's value was collected under. One collected under a consent is foreign to every
    agreement but those of the same template, its successors (Art. 6(4)); the others serve whatever agreement names their category.
    """
    row = person.subject
    if row is None or row.state != "active":
        return NO_ONE_AGREED
    consents = {one.agreement_id: _template_id(one) for one in person.agreements if one.consent != "none"}
    bound = _bound(consents, frames) if consents else {}
    return SubjectFacts(
        subject_id=subject_id,
        agreements=tuple(_agreement(one, person, at, bound) for one in person.agreements),
        restricted=row.restricted,
        objected=row.objected,
        objected_marketing=row.objected_marketing,
        minor=band_at(row.minor, row.adult_at, at),
        time_barred=row.time_barred_at is not None and at >= row.time_barred_at,
        deceased=row.deceased,
    )


def _bound(consents: Mapping[str, str], frames: Iterable[Frame]) -> dict[str, str]:
    """Return the fields collected under a consent, each with its template."""
    return {name: consents[under] for one in frames for name, under in one.collected().items() if under in consents}


def _agreement(one: AgreementRow, person: Person, at: datetime, bound: Mapping[str, str]) -> AgreementFacts:
    row = person.subject
    now_in, consent = standing(one.status, one.consent, one.valid_from, one.valid_until, at)
    return AgreementFacts(
        agreement_id=one.agreement_id,
        template=one.template,
        phase=now_in,
        valid_from_ms=int(one.valid_from.timestamp() * 1000),
        consent=consent,
        superseded=one.status == "superseded",
        excluded=one.excluded,
        foreign=frozenset(name for name, template_id in bound.items() if template_id != _template_id(one)),
        after_restriction=consent == "valid" and _after(one.valid_from, row.restricted_at if row else None),
        after_objection=consent == "valid" and _after(one.valid_from, row.objected_at if row else None),
    )


def _template_id(one: AgreementRow) -> str:
    return one.template.partition("@")[0]


def _after(start: datetime, since: datetime | None) -> bool:
    return since is not None and start > since


def sealed_classes(
    controller_id: str, subject_id: str, person: Person, parsed: Mapping[str, Frame] = MappingProxyType({})
) -> list[SealedClass]:
    """Return the sealed classes that were read, each with the wraps of its agreements, and its frame where it is read already."""
    return [
        SealedClass(
            controller_id, subject_id, frame.class_name, frame.generation, frame.commit, frame.manifest, frame.frame,
            person.wraps_of(frame.class_name), parsed.get(frame.class_name),
        )
        for frame in person.frames.values()
    ]  # fmt: skip
