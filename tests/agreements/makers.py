"""Fixed facts for receipts: a consent, its later events, a contract, and a consent that names a third party."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from vault.agreements.receipts import Agreed, Happened, Publisher, pairwise_handle
from vault.agreements.terms import EventKind
from vault.agreements.wording import Category, Retention, Wording

HOST = "vault.example"
SECRET = bytes(range(0x40, 0x60))
SUBJECT, AGREEMENT = "sub_" + "a" * 26, "agr_" + "b" * 26
GIVEN_AT = datetime(2026, 2, 1, 9, 12, 33, tzinfo=UTC)
PUBLISHER = Publisher(
    name="Banca Esempio S.p.A.",
    address="Via dell'Esempio 1, 20121 Milano",
    contact="Responsabile della protezione dei dati",
    email="privacy@bank.example",
    phone="+39 02 0000 0000",
    url="https://bank.example",
    portal="https://bank.example/portale",
    notice="https://bank.example/informative",
    notice_on=date(2026, 1, 10),
    service="Assistenza clienti",
    jurisdiction="IT",
    storage=("IT",),
    deletion="P1M",
)
MARKETING = Wording(
    id="marketing",
    version=2,
    digest=bytes(32),
    bases=("eu-gdpr:A6-1-a",),
    consent=True,
    purposes=("dpv:DirectMarketing",),
    operations=("dpv:Use", "dpv:Store"),
    categories=(Category("pd:EmailAddress", ("dpv:DataSubjectDataSource",), special=False),),
    excluded=(),
    recipients=("controller",),
    third_parties=(),
    regions=("EEA",),
    validity="P24M",
    retention=(),
)
CONTRACT = replace(
    MARKETING,
    id="health-insurance",
    version=1,
    bases=("eu-gdpr:A6-1-b", "eu-gdpr:A9-2-a"),
    consent=False,
    purposes=("dpv:CustomerManagement", "fin:InsuranceClaimsManagement"),
    operations=("dpv:Consult", "dpv:Use", "dpv:Store"),
    categories=(
        Category("pd:Financial", ("dpv:DataControllerDataSource", "dpv:DataSubjectDataSource"), special=False),
        Category("pd:MedicalHealth", ("dpv:DataSubjectDataSource",), special=True),
    ),
    excluded=("aml_note", "credit_score"),
    recipients=("controller", "helpdesk"),
    validity="open",
    retention=(Retention(("pd:Financial",), "dpv:LegalCompliance", "agreement-end", "P10Y", ("c.c. 2220",)),),
)
SHARED = replace(
    MARKETING,
    id="survey",
    purposes=("dpv:DirectMarketing", "dpv:IdentityVerification"),
    categories=(
        *MARKETING.categories,
        Category("pd:MedicalHealth", ("dpv:DataSubjectDataSource",), special=True),
    ),
    recipients=("controller", "institute"),
    third_parties=("institute",),
)


def happened(number: int, kind: EventKind, channel: str = "portal") -> Happened:
    """Return the event of this number, one day after the one before; it is recorded one second later."""
    at = GIVEN_AT + timedelta(days=number - 1)
    return Happened(number, kind, at + timedelta(seconds=1), at, channel, f"ent_{'c' * 25}{number + 1}")


def agreed(*kinds: EventKind, excluded: frozenset[str] = frozenset(), ends_at: datetime | None = None) -> Agreed:
    """Return an agreement with these events, in this order."""
    first, *later = [happened(number, kind) for number, kind in enumerate(kinds or ("given",), 1)]
    events = [replace(first, excluded=excluded), *later]
    return Agreed(AGREEMENT, pairwise_handle(SECRET, SUBJECT), "it", bytes(range(32)), events, ends_at)
