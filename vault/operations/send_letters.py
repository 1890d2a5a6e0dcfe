"""Write to people about their requests (GDPR 12(3), (4), 19): a job over the facts of the outbox, and over letters that wait.

A letter is made of a fact and sent to the e-mail address there is when it leaves: opened for that alone, on record before, and kept
nowhere. Who has no address, or is no longer here, is written nothing; what no relay takes a person has to tell. That a contact is
about to change is thereby told to whoever is reached now.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import structlog

from vault.assembly import Vault
from vault.errors import Conflict, Stale, VaultError
from vault.keys.data_keys import open_fields
from vault.operations.acting import HOUSE, Acting, carrying_out, is_gone, prepare, record, telling
from vault.operations.facts import as_known, sealed_classes, subject_facts
from vault.operations.proposals import change_proposal, last_proposal
from vault.operations.rectify import versions
from vault.outbox import announce
from vault.policy.model import Caller, Context
from vault.rights import letter_records as letters
from vault.rights import records
from vault.rights.letter_records import Fact, LetterRow
from vault.rights.letter_words import Language
from vault.rights.letters import ABOUT, About, Facts, Mail, Mailed, Send, letter
from vault.rights.records import RequestRow

VERB: Final = "send_letter"
CLAIM: Final = timedelta(minutes=5)
STALE_AFTER: Final = timedelta(days=2)  # of a fact from before letters were sent nobody is written now
PAUSES: Final = tuple(timedelta(minutes=one) for one in (1, 5, 30, 120, 360, 720, 1440))
MOST_A_DAY: Final = 20  # letters to one person; what is beyond waits, and if it waits too long a person has to tell
MOST_WARNINGS: Final = 3  # a day and request, beside those
WARNS: Final = "contact-changing"
ADDRESS: Final = "email"
SPOKEN: Final = "preferred_language"
_CALLER: Final = Caller(id="job:letters", kind="job", roles=frozenset(), client_id="riserbo")

log = structlog.get_logger()


def make_letters(vault: Vault, controller_id: str) -> int:
    """Make the letters of facts nobody was written of; return how many."""
    with vault.database.snapshot(controller_id) as rows:
        found = letters.facts(rows, controller_id)
    made = 0
    for one in found:
        try:
            these = _made(vault, controller_id, one)
            with vault.database.transaction(controller_id) as transaction:
                letters.take_over(transaction, controller_id, one.event_id, vault.now(), these)
        except VaultError as error:  # this one waits, and keeps nobody else from hearing
            log.error("job_put_off", controller_id=controller_id, code=error.code)
            continue
        made += len(these)
    return made


def send_letters(vault: Vault, controller_id: str, send: Send) -> int:
    """Make each attempt that is due; return how many were made. One that cannot be made waits, and keeps nobody else waiting.

    An attempt is counted before it is made, so that who is killed once a relay took a letter sends it eight times at the most.
    """
    with vault.database.snapshot(controller_id) as rows:
        due = letters.due(rows, controller_id, vault.now())
    made = 0
    for one in due:
        try:
            made += _attempted(vault, controller_id, one, send)
        except VaultError as error:
            log.error("job_put_off", controller_id=controller_id, code=error.code, entry_id=one.entry_id)
    return made


def _made(vault: Vault, controller_id: str, fact: Fact) -> Sequence[LetterRow]:
    """Return the letters of a fact: none of an old one, nor of a state nobody has to hear of."""
    about = _about(fact)
    with vault.database.snapshot(controller_id) as rows:
        row = records.read(rows, controller_id, str(fact.data["request_id"]))
    if about is None or row is None or vault.now() - fact.at > STALE_AFTER:
        return ()
    acting = prepare(vault, VERB, _context(controller_id), row.subject_id, permission=HOUSE)
    if acting.person.subject is None or is_gone(acting.person):
        return ()
    record(vault, acting, details={"result": "made", "request": row.request_id})
    at = acting.at
    return [
        LetterRow(vault.new_id("ltr"), row.request_id, row.subject_id, about, "waiting", None, at, 0, at, None, acting.entry_id)
    ]


def _about(fact: Fact) -> About | None:
    stated = {"request:received": "received", "contact:changing": "contact-changing"}.get(fact.name, str(fact.data.get("state")))
    return next((one for one in ABOUT if one == stated), None)


def _attempted(vault: Vault, controller_id: str, one: LetterRow, send: Send) -> int:
    with vault.database.transaction(controller_id) as transaction:
        if not letters.claim(transaction, controller_id, one, vault.now() + CLAIM):
            return 0
    with vault.database.snapshot(controller_id) as rows:
        row = records.read(rows, controller_id, one.request_id)
    fields = (ADDRESS, SPOKEN)
    classes = {vault.catalogue.fields[name].class_name for name in fields if name in vault.catalogue.fields}
    acting = prepare(vault, VERB, _context(controller_id), one.subject_id, classes, permission=HOUSE)
    through = through_of(vault, acting)
    if row is None or through is None:
        _end(vault, acting, one, Mailed("no-address", final=True))
        return 1
    if one.attempts > len(PAUSES) or _has_had_enough(vault, acting, one):
        _end(vault, acting, one, Mailed("interrupted" if one.attempts > len(PAUSES) else "too-many"))
        return 1
    permit = record(vault, acting, opens=dict.fromkeys(fields, through), details={"result": "sent", "request": one.request_id})
    with telling(vault, acting):
        sealed = sealed_classes(controller_id, one.subject_id, acting.person)
        opened = {name: clear.value for name, clear in open_fields(vault.keys, permit, sealed, vault.monotonic()).items()}
    if ADDRESS not in opened:
        _end(vault, acting, one, Mailed("no-address", final=True))
        return 1
    language: Language = "en" if opened.get(SPOKEN) == "en" else "it"
    subject, text = letter(one.about, language, facts_about(vault, controller_id, row, language))
    came = send(Mail(one.letter_id, str(opened[ADDRESS]), language, subject, text))
    _end(vault, acting, one, came)
    if came.code is None and one.about == WARNS:
        _told(vault, acting, one.request_id)
    return 1


def _has_had_enough(vault: Vault, acting: Acting, one: LetterRow) -> bool:
    """Say whether somebody was sent as many letters in a day as anybody needs: who opens requests may want to flood them.

    A flood must not hide the letters that warn of a change of contact: they are counted by themselves, for each request.
    """
    since, place = acting.at - timedelta(days=1), acting.context.controller_id
    with vault.database.snapshot(place) as rows:
        if one.about == WARNS:
            warned = [other for other in letters.of_request(rows, place, one.request_id) if other.about == WARNS]
            return sum(other.sent_at is not None and other.sent_at > since for other in warned) >= MOST_WARNINGS
        return letters.sent_since(rows, place, acting.subject_id, since) >= MOST_A_DAY


def through_of(vault: Vault, acting: Acting) -> str | None:
    """Return an agreement in force that covers the address, None where there is none: then nobody is written to.

    Nor where the person is dead: whoever reads their letters now need not be who asked. Nor where the address itself is restricted,
    for it may be contested (GDPR 18(1)(a)); that everything is restricted keeps no right from being carried out.
    """
    row = acting.person.subject
    if row is None or row.deceased or is_gone(acting.person) or ADDRESS in row.restricted:
        return None
    facts = subject_facts(acting.subject_id, acting.person, acting.at)
    return next(
        (
            one.agreement_id
            for one in sorted(facts.agreements, key=lambda one: one.agreement_id)
            if one.phase == "in" and one.consent not in ("withdrawn", "expired")
            and ADDRESS in vault.policy.granted_fields(one.template) - one.excluded
        ),
        None,
    )  # fmt: skip


def facts_about(vault: Vault, controller_id: str, row: RequestRow, language: Language) -> Facts:
    """Return what a letter is made of; where the company says nothing of itself, its id."""
    try:
        said = vault.publisher(controller_id)
        house, contact, dpo, portal = said.name, f"{said.email}, {said.phone}", said.dpo or said.email, said.portal
    except Conflict:
        house = contact = dpo = portal = controller_id
    law = text = ""
    if row.state == "refused":
        with vault.database.snapshot(controller_id) as rows:
            codes = [one.stated.get("code") for one in records.steps(rows, controller_id, row.request_id) if one.verb == "refuse"]
        found = vault.policy.refusals.get(str(codes[-1])) if codes else None
        law, text = (found.law, found.texts.get(language, "")) if found is not None else ("", "")
    return Facts(row.request_id, row.kind, house, contact, dpo, portal, row.due, law, text)


def _end(vault: Vault, acting: Acting, one: LetterRow, came: Mailed) -> None:
    """Keep what an attempt came to: sent, to be tried again, or a person's to tell."""
    controller_id, number = acting.context.controller_id, one.attempts + 1
    to: dict[str, Any] = {"attempts": number, "code": came.code, "state": "waiting", "next_at": None}
    if came.code is None:
        to |= {"state": "sent", "sent_at": acting.at}
    elif came.final or number > len(PAUSES):
        to |= {"state": "failed"}
    else:
        to |= {"next_at": acting.at + PAUSES[number - 1]}
    failing = replace(acting, entry_id=vault.new_id("ent"))
    if to["state"] == "failed":
        record(vault, failing, outcome="failed", details={"result": "not-sent", "request": one.request_id})
        log.warning("letter_failed", controller_id=controller_id, code=came.code, entry_id=failing.entry_id)
    with vault.database.transaction(controller_id) as transaction:
        letters.change(transaction, controller_id, one, **to)
        if to["state"] == "failed":
            announce(
                transaction, vault, controller_id, "letter:failed", failing.entry_id, acting.at, request_id=one.request_id,
                letter_id=one.letter_id,
            )  # fmt: skip


def _told(vault: Vault, acting: Acting, request_id: str) -> None:
    """Note that whoever is reached now was told that this changes: from now on it waits a day."""
    controller_id = acting.context.controller_id
    noting = replace(acting, verb="tell_contact", entry_id=vault.new_id("ent"))
    last = last_proposal(vault, controller_id, request_id)
    held = versions(as_known(acting.context, acting.subject_id, acting.person)[1])
    if last is None or last.told_at is not None or last.applied_at is not None or not last.reaches(ADDRESS, held):
        return
    record(vault, noting, details={"result": "told", "request": request_id})
    to = {"told_by": _CALLER.id, "told_through": ADDRESS, "told_at": acting.at, "entry_id": noting.entry_id}
    keep = change_proposal(vault, controller_id, last, **to)
    try:
        with carrying_out(vault, noting) as transaction:
            keep(transaction)
    except Stale:
        return  # it was carried out meanwhile


def _context(controller_id: str) -> Context:
    return Context(controller_id, _CALLER, "rights-fulfilment", "api")
