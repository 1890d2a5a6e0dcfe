"""The contexts of the table of roles (`policies/tests/matrix/roles.yaml`) as facts: what policy was made for. Pure.

Tables are warmed with them, a role's default fields follow from them, and the matrix is driven with them.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from vault.policy.model import AgreementFacts, Caller, CallerFacts, Context, SubjectFacts, TicketFacts

Json = Mapping[str, Any]
SUBJECT = "sub_typical"


def context_of(stated: Json) -> Context:
    """Return the context; the customer is the person asked about."""
    caller = Caller(
        id="typical",
        kind=stated["kind"],
        roles=frozenset(stated["roles"]),
        client_id="typical",
        subject_id=SUBJECT if stated["kind"] == "subject" else None,
        level=stated.get("level", 0),
    )
    return Context("typical", caller, stated["purpose"], stated["channel"])


def caller_of(stated: Json) -> CallerFacts:
    """Return what the register says of the caller."""
    return CallerFacts(
        roles=frozenset(stated["roles"]),
        training=frozenset(stated.get("training", ())),
        recipient=stated["recipient"],
        region=stated.get("region", "IT"),
    )


def ticket_of(stated: Json) -> TicketFacts:
    """Return the ticket; a verified one is the caller's own, unless it is said not to be."""
    return TicketFacts(
        state=stated["ticket"],
        assigned=stated.get("assigned", stated["ticket"] == "verified"),
        in_care=stated.get("in_care", False),
        request_assigned=stated.get("request", False),
        break_glass=stated.get("break_glass", "none"),
        caller_verified=stated.get("caller_verified", False),
    )


def person_with(agreements: tuple[AgreementFacts, ...]) -> SubjectFacts:
    """Return a person of age with these agreements and nothing else."""
    return SubjectFacts(SUBJECT, agreements)


def held(reference: str, template: Json, phase: str = "in") -> AgreementFacts:
    """Return an agreement of this template, given and not withdrawn."""
    consent = "valid" if template["basis"] == "consent" else "none"
    return AgreementFacts(f"agr_{reference}", reference, phase, 0, consent)  # type: ignore[arg-type]  # closed lists


def persons(templates: Mapping[str, Json]) -> Iterator[SubjectFacts]:
    """Yield persons as they are most often met: one agreement, or one and a consent, with the companions that wait behind it."""
    begun = {name: one for name, one in templates.items() if one["validity"]["from"] == "signature"}
    consents = [name for name, one in begun.items() if one["basis"] == "consent"]
    for name, one in begun.items():
        waiting = tuple(held(companion, templates[companion], "before") for companion in one["companions"])
        yield person_with((held(name, one), *waiting))
        for consent in consents:
            if consent != name:
                yield person_with((held(name, one), held(consent, begun[consent]), *waiting))
