"""Situations: a context of the table of roles, one thing changed in it, and the person it is about.

The matrix is made of them, and so is every test that asks what policy says.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vault.policy import typical
from vault.policy.bundle import Bundle
from vault.policy.engine import Policy
from vault.policy.inputs import ViewKey, view_key
from vault.policy.model import Act, AgreementFacts, CallerFacts, Context, Decision, SubjectFacts, TicketFacts

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Situation:
    """One access, as facts."""

    context: Context
    act: Act
    caller: CallerFacts
    ticket: TicketFacts
    subject: SubjectFacts

    def decided(self, by: Policy, *fields: str) -> Decision:
        """Return what is decided of these fields."""
        return by.decide(self.context, self.act, self.caller, self.ticket, self.subject, fields)

    def key(self, lawful: int, after_restriction: int = 0) -> ViewKey:
        """Return what gate 2 sees of it, with these fields lawful."""
        return view_key(self.context, self.act, self.caller, self.ticket, self.subject, lawful, after_restriction)

    def about(self, **changes: Any) -> "Situation":
        """Return it with another person."""
        return replace(self, subject=self.subject._replace(**changes))

    def called_by(self, **changes: Any) -> "Situation":
        """Return it with another caller."""
        return replace(self, caller=replace(self.caller, **changes))

    def with_ticket(self, **changes: Any) -> "Situation":
        """Return it with another ticket."""
        return replace(self, ticket=replace(self.ticket, **changes))

    def within(self, **changes: Any) -> "Situation":
        """Return it in another context."""
        return replace(self, context=replace(self.context, **changes))


def situation(
    bundle: Bundle,
    start: str,
    agreements: Sequence[str | Json] = ("retail@1",),
    context: Json | None = None,
    person: Json | None = None,
) -> Situation:
    """Return a situation: `start` names a context of roles.yaml; `context` and `person` say what differs."""
    stated = {**bundle.matrix["contexts"][start], **(context or {})}
    about = dict(person or {})
    if "restricted" in about:
        about["restricted"] = frozenset(about["restricted"])
    made = Situation(
        typical.context_of(stated),
        stated.get("act", "profile"),
        typical.caller_of(stated),
        typical.ticket_of(stated),
        typical.person_with(tuple(agreed(bundle, one, number) for number, one in enumerate(agreements)))._replace(**about),
    )
    if "subject_id" in stated:
        made = made.within(caller=replace(made.context.caller, subject_id=stated["subject_id"]))
    return made


def agreed(bundle: Bundle, one: str | Json, number: int = 0) -> AgreementFacts:
    """Return an agreement: a template in force, or a mapping that says what differs."""
    stated: dict[str, Any] = {"template": one} if isinstance(one, str) else dict(one)
    reference = stated.pop("template")
    for name in ("excluded", "foreign"):
        if name in stated:
            stated[name] = frozenset(stated[name])
    held = typical.held(reference, bundle.templates[reference])
    return held._replace(agreement_id=f"agr_{number}", **stated)
