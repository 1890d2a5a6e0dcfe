"""Receipts: what a person may keep of each event of an agreement, as one line of JSON-LD in the words of DPV 2.3. Pure.

Rules (docs/receipts.md; ISO/IEC TS 27560 by the DPV guide; RFC 8785):

1. One receipt for each event. Its history of consent ends with its own event, so a later event changes no earlier receipt.
2. A consent is `dpv:ConsentReceipt` over `dpv:ConsentRecord`. Another basis is a `dpv:DataProcessingRecord` without the members
   of a consent, and claims no profile, for the profiles are those of consent records.
3. The context is inline: nothing is fetched to read a receipt. A property whose value is an IRI has an `@type: @id` entry there,
   or a parser would read `"dpv:DirectMarketing"` as plain text.
4. The person is a pairwise handle: it says that two receipts of one controller are about the same person, and nothing else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final

import rfc8785

from vault.agreements.terms import OPEN, EventKind
from vault.agreements.wording import PREFIXES, Category, Retention, Wording
from vault.octets import base32_id, expand, lp, mac

Json = dict[str, Any]

PROFILE: Final = "https://w3id.org/dpv/schema/dpv-27560"
IRI_VALUED: Final = (
    *("dct:conformsTo", "dct:publisher", "schema:recipient", "skos:broader", "dpv:hasJurisdiction", "dpv:hasApplicableLaw"),
    *("dpv:hasLegalBasis", "dpv:hasPurpose", "dpv:hasProcessing", "dpv:hasNecessity", "dpv:hasDataSource", "dpv:hasRecipient"),
    *("dpv:hasLocation", "dpv:isExercisedAt", "dpv:isIndicatedBy"),
)
CONTEXT: Final[Json] = {**PREFIXES, **{name: {"@id": name, "@type": "@id"} for name in IRI_VALUED}}
STATUS: Final = {  # DPV 2.3 has no term for an agreement that is superseded or over
    "requested": "dpv:ConsentRequested",
    "refused": "dpv:ConsentRefused",
    "given": "dpv:ConsentGiven",
    "renewed": "dpv:RenewedConsentGiven",
    "narrowed": "dpv:ConsentGiven",
    "withdrawn": "dpv:ConsentWithdrawn",
    "revoked": "dpv:ConsentRevoked",
    "invalidated": "dpv:ConsentInvalidated",
    "expired": "dpv:ConsentExpired",
}
GIVING: Final = frozenset({"given", "renewed", "narrowed"})
_BY_THE_PERSON: Final = GIVING | {"refused", "withdrawn"}
_OBJECTION: Final = frozenset({"eu-gdpr:A6-1-e", "eu-gdpr:A6-1-f"})  # Art. 21(1)


@dataclass(frozen=True, slots=True)
class Publisher:
    """The controller as receipts name it: what the company says of itself, not of anybody else."""

    name: str
    address: str
    contact: str  # whom to turn to
    email: str
    phone: str
    url: str
    portal: str  # where rights are exercised
    notice: str  # where the texts people agree to stand
    notice_on: date  # since when
    service: str
    jurisdiction: str  # ISO 3166-1 alpha-2
    storage: tuple[str, ...]  # countries
    deletion: str  # ISO 8601: within which copies are gone too
    dpo: str | None = None  # how to reach the data protection officer, for the records of processing

    @property
    def iri(self) -> str:
        """Return the controller's name among resources."""
        return self.party("controller")

    def party(self, recipient: str) -> str:
        """Return the IRI of a party of the register of recipients."""
        return f"{self.url}#{recipient}"


@dataclass(frozen=True, slots=True)
class Happened:
    """One event of an agreement, as it is kept; its evidence stays sealed. `excluded`: fields the person left out with it."""

    number: int
    kind: EventKind
    recorded_at: datetime
    effective_at: datetime
    channel: str
    entry_id: str
    excluded: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Agreed:
    """One agreement up to the event the receipt is of, which is the last of `events`.

    `language` and `text_sha256` are those of the text that was shown. `ends_at`: set where the agreement ends earlier than its
    period says, as an imported consent does.
    """

    agreement_id: str
    handle: str
    language: str
    text_sha256: bytes
    events: Sequence[Happened]
    ends_at: datetime | None = None

    @property
    def excluded(self) -> frozenset[str]:
        """Return the fields the person had left out by then."""
        return frozenset(name for one in self.events for name in one.excluded)

    @property
    def receipt_id(self) -> str:
        """Return `<agreement>/<number of the event>`."""
        return f"{self.agreement_id}/{self.events[-1].number}"


def pairwise_handle(secret: bytes, subject_id: str) -> str:
    """Return the name a person has in receipts, 26 base32 characters. `secret` is the controller's `web` secret."""
    return base32_id(mac(expand(secret, lp("riserbo.receipt-subject.v1")), lp(subject_id))[:16])


def receipt_line(host: str, publisher: Publisher, wording: Wording, agreed: Agreed) -> bytes:
    """Return the receipt of the last event: one line of RFC 8785 JSON, the same bytes for the same facts."""
    last = agreed.events[-1]
    receipt: Json = {
        "@context": CONTEXT,
        "@id": f"https://{host}/receipts/{agreed.receipt_id}",
        "@type": "dpv:ConsentReceipt" if wording.consent else "vault:AgreementReceipt",
        "dct:identifier": agreed.receipt_id,
        "dct:created": instant(last.recorded_at),
        "vault:entry": last.entry_id,
        "dct:publisher": publisher.iri,
        "schema:recipient": "dpv:DataSubject",
        "dpv:hasRecordOfActivity": _record(host, publisher, wording, agreed),
    }
    if wording.consent:
        receipt["dct:conformsTo"] = f"{PROFILE}#receipt-eu-gdpr"
    return rfc8785.dumps(receipt)


def instant(at: datetime) -> str:
    """Return RFC 3339 in UTC, to the second."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _record(host: str, publisher: Publisher, wording: Wording, agreed: Agreed) -> Json:
    record: Json = {
        "@id": f"https://{host}/agreements/{agreed.agreement_id}",
        "@type": "dpv:ConsentRecord" if wording.consent else "dpv:DataProcessingRecord",
        "dct:identifier": agreed.agreement_id,
        "dpv:hasDataSubject": {"@id": f"urn:riserbo:subject:{agreed.handle}", "skos:broader": "dpv:Customer"},
        "dpv:hasDataController": {
            "@id": publisher.iri,
            "dpv:hasName": publisher.name,
            "dpv:hasAddress": publisher.address,
            "dpv:hasContact": f"{publisher.email}, {publisher.phone}",
        },
        "dpv:hasJurisdiction": f"loc:{publisher.jurisdiction}",
        "dpv:hasApplicableLaw": "legal-eu:law-GDPR",
        "dpv:hasLegalBasis": _one_or_all(wording.bases),
        "dpv:hasProcess": [_process(publisher, wording)],
        "dpv:hasRight": [
            {"@type": ["dpv:DataSubjectRight", right], "dpv:isExercisedAt": publisher.portal} for right in _rights(wording)
        ],
        "dpv:hasNotice": {
            "@id": f"{publisher.notice}#{wording.id}.v{wording.version}.{agreed.language}",
            "@type": "dpv:ConsentNotice" if wording.consent else "dpv:PrivacyNotice",
            "dct:date": publisher.notice_on.isoformat(),
            "dct:language": agreed.language,
            "vault:sha256": agreed.text_sha256.hex(),
            "vault:template": wording.reference,
        },
    }
    if wording.consent:
        record["dct:conformsTo"] = f"{PROFILE}#record-eu-gdpr"
        record["dpv:hasConsentControl"] = {
            "@type": ["dpv:ProvideConsent", "dpv:WithdrawConsent"],
            "dpv:isExercisedAt": publisher.portal,
        }
        record["dpv:hasConsentStatus"] = [_status(publisher, wording, one) for one in agreed.events if one.kind in STATUS]
    untold = [_event(one) for one in agreed.events if not wording.consent or one.kind not in STATUS]
    excluded = sorted({*wording.excluded, *agreed.excluded})
    further = {"vault:hasEvent": untold, "vault:excludesField": excluded}
    record |= {name: values for name, values in further.items() if values}
    if agreed.ends_at is not None:
        record["vault:endsAt"] = instant(agreed.ends_at)
    return record


def _process(publisher: Publisher, wording: Wording) -> Json:
    necessity = "dpv:Optional" if wording.consent else "dpv:Required"
    return {
        "@type": "dpv:Process",
        "dpv:hasService": publisher.service,
        "dpv:hasPurpose": _one_or_all(wording.purposes),
        "dpv:hasProcessing": sorted(wording.operations),
        "dpv:hasPersonalData": [_personal_data(one, necessity) for one in wording.categories],
        "dpv:hasRecipient": [publisher.party(one) for one in wording.recipients],
        "dpv:hasStorageCondition": [
            {"@type": "dpv:StorageLocation", "dpv:hasLocation": [f"loc:{one}" for one in publisher.storage]},
            {"@type": "dpv:StorageDuration", "dpv:hasDuration": _duration(wording.validity)},
            *(_kept(one) for one in wording.retention),
            {"@type": "dpv:StorageDeletion", "dpv:hasDuration": publisher.deletion},
        ],
    }


def _personal_data(category: Category, necessity: str) -> Json:
    return {
        "skos:broader": category.term,
        "dpv:hasNecessity": necessity,
        "dpv:hasDataSource": _one_or_all(category.sources),
    }


def _duration(validity: str) -> Any:
    """Return the period, or that it lasts until the agreement ends."""
    return {"@type": "dpv:UntilEventDuration", "rdf:value": "agreement-end"} if validity == OPEN else validity


def _kept(duty: Retention) -> Json:
    """Return what is kept when the agreement is over, because a law says so."""
    return {
        "@type": "dpv:StorageDuration",
        "dpv:hasDuration": duty.period,
        "dpv:hasPurpose": duty.purpose,
        "vault:law": list(duty.law),
        "vault:startsWith": duty.trigger,
        "vault:keeps": [{"@id": one} for one in duty.categories],
    }


def _status(publisher: Publisher, wording: Wording, event: Happened) -> Json:
    status: Json = {
        "@type": [STATUS[event.kind], "dpv:ExplicitlyExpressedConsent"] if event.kind in GIVING else STATUS[event.kind],
        "dpv:isIndicatedBy": "dpv:DataSubject" if event.kind in _BY_THE_PERSON else publisher.iri,
        "dpv:hasIndicationMethod": event.channel,
        "dpv:isIndicatedAtTime": instant(event.effective_at),
    }
    if event.kind in GIVING:
        status["dpv:hasDuration"] = {"@type": "dpv:TemporalDuration", "rdf:value": wording.validity}
    return status


def _event(event: Happened) -> Json:
    return {
        "@type": "vault:AgreementEvent",
        "vault:kind": event.kind,
        "dpv:hasIndicationMethod": event.channel,
        "dpv:isIndicatedAtTime": instant(event.effective_at),
    }


def _rights(wording: Wording) -> list[str]:
    if wording.consent:
        return ["eu-gdpr:A7-3"]
    return ["eu-gdpr:A15", *(["eu-gdpr:A21"] if _OBJECTION & set(wording.bases) else [])]


def _one_or_all(terms: Sequence[str]) -> str | list[str]:
    return terms[0] if len(terms) == 1 else list(terms)
