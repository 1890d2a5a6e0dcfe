"""A policy that always says yes: what is left when it does is what the keys alone hold back."""

from collections.abc import Iterable

from vault.policy.engine import Policy
from vault.policy.model import Act, CallerFacts, Context, Decision, FieldDecision, SubjectFacts, TicketFacts


class AlwaysYes(Policy):
    """Everything asked for, in clear, resting on whichever agreement it is told."""

    agreement_id = ""

    def decide(
        self,
        context: Context,  # noqa: ARG002 - whoever asks, and why
        act: Act,  # noqa: ARG002 - whatever for
        caller: CallerFacts,  # noqa: ARG002
        ticket: TicketFacts,  # noqa: ARG002
        subject: SubjectFacts,  # noqa: ARG002 - whatever was agreed
        fields: Iterable[str],
    ) -> Decision:
        """Say yes."""
        shown = {name: FieldDecision("clear", None, "agreed") for name in fields}
        return Decision(
            self.digest,
            shown,
            hidden=False,
            restricted=False,
            levels=dict.fromkeys(shown, "clear"),
            resting={self.agreement_id: tuple(shown)},
        )
