"""Consent receipts of the Kantara Initiative, version 1.1, for readers who do not speak RDF. Pure.

Only a consent has one. Purposes and categories are written as the specification's codes where those are confirmed, and as terms of
the vocabulary where they are not: a code that says something else would be worse than none.
"""

from typing import Any, Final

from vault.agreements.receipts import GIVING, Agreed, Publisher
from vault.agreements.wording import Wording

Json = dict[str, Any]

VERSION: Final = "KI-CR-v1.1.0"
_PURPOSES: Final = {
    "dpv:RequestedServiceProvision": "2 - Contracted Service",
    "dpv:DirectMarketing": "6 - Marketing",
    "dpv:LegalCompliance": "12 - Legally Required Data Retention",
}
_DATA: Final = {
    "pd:Identifying": "1 - Biographical",
    "pd:Name": "1 - Biographical",
    "vault:CivilStatus": "1 - Biographical",
    "pd:Contact": "2 - Contact",
    "pd:EmailAddress": "2 - Contact",
    "pd:TelephoneNumber": "2 - Contact",
    "pd:PhysicalAddress": "2 - Contact",
    "pd:Financial": "7 - Financial",
}


def gives_consent(wording: Wording, agreed: Agreed) -> bool:
    """Whether the last event gave a consent: a withdrawal is on the record of one, and has no receipt of this kind."""
    return wording.consent and agreed.events[-1].kind in GIVING


def kantara_receipt(publisher: Publisher, wording: Wording, agreed: Agreed) -> Json:
    """Return the receipt of the last event. Raises ValueError where that event gave no consent (`gives_consent`)."""
    if not gives_consent(wording, agreed):
        raise ValueError("only a consent has a consent receipt")
    given = agreed.events[-1]
    special = [_DATA.get(one.term, one.term) for one in wording.categories if one.special]
    purpose: Json = {
        "purposeCategory": [_PURPOSES.get(one, one) for one in wording.purposes],
        "consentType": "EXPLICIT",
        "piiCategory": sorted({_DATA.get(one.term, one.term) for one in wording.categories}),
        "termination": wording.validity,
        "thirdPartyDisclosure": bool(wording.third_parties),
        **({"thirdPartyName": ", ".join(wording.third_parties)} if wording.third_parties else {}),
    }
    return {
        "version": VERSION,
        "jurisdiction": publisher.jurisdiction,
        "consentTimestamp": int(given.effective_at.timestamp()),
        "collectionMethod": given.channel,
        "consentReceiptID": agreed.receipt_id,
        "language": agreed.language,
        "piiPrincipalId": agreed.handle,
        "piiControllers": [
            {
                "piiController": publisher.name,
                "contact": publisher.contact,
                "address": publisher.address,
                "email": publisher.email,
                "phone": publisher.phone,
                "piiControllerUrl": publisher.url,
            }
        ],
        "policyUrl": publisher.notice,
        "services": [{"service": publisher.service, "purposes": [purpose]}],
        "sensitive": bool(special),
        "spiCat": sorted(set(special)),
    }
