"""Whatever befalls agreements, in whatever order: the row that decisions rest on is what their events say, at every instant.

Lives are drawn by number, so that one that fails can be lived again.
"""

import random
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.makers import make_context, make_subject, register, terms
from tests.operations.conftest import Ledger
from vault.agreements.terms import Event, State, Terms, state
from vault.assembly import Vault
from vault.errors import Conflict, InvalidValue
from vault.operations.agree import agree
from vault.operations.enroll import Enrolled
from vault.operations.expire import expire
from vault.operations.narrow import narrow
from vault.operations.recheck_agreements import recheck_agreements
from vault.operations.show_agreements import Agreement, show_agreements
from vault.operations.withdraw import withdraw
from vault.policy.model import Context

VALUES = {"given_name": "Giulia", "email": "g@example.it", "iban": "IT60X0542811101000000123456"}
TEMPLATES = ("retail", "marketing")
STEPS, LIVES = 14, 8


class Life:
    """One person, and what befalls them: each act may be refused, as it may be in life."""

    def __init__(self, vault: Vault, context: Context, person: Enrolled, drawing: random.Random) -> None:
        self.clock = vault.now()
        self.vault = replace(vault, now=lambda: self.clock)
        self.context, self.person, self.drawing = context, person, drawing
        self.known = list(person.agreements)
        self.refused = 0
        self.lived: set[str] = set()

    def step(self) -> None:
        """Let one thing happen."""
        self.clock += timedelta(days=self.drawing.choice((0, 0, 1, 30, 200)), seconds=1)
        act = self.drawing.choice((self._agree, self._agree, self._narrow, self._narrow, self._withdraw, self._expire))
        try:
            act()
        except (Conflict, InvalidValue):
            self.refused += 1
        else:
            self.lived.add(act.__name__)

    def _fields(self, template: str) -> list[str]:
        granted = sorted(self.vault.policy.granted_fields(template))
        return self.drawing.sample(granted, self.drawing.choice((1, 2, len(granted) // 2)))

    def _agree(self) -> None:
        template = self.drawing.choice(TEMPLATES)
        excluded = self.drawing.choice(([], self._fields(f"{template}@1")))
        said = terms(template, excluded=excluded, indicated_at=self.clock.isoformat(timespec="seconds"))
        self.known.append(agree(self.vault, self.context, self.person.subject_id, said).agreement_id)

    def _narrow(self) -> None:
        fields = self._fields(self.drawing.choice(TEMPLATES) + "@1")
        narrow(self.vault, self.context, self.drawing.choice(self.known), fields, {})

    def _withdraw(self) -> None:
        withdraw(self.vault, self.context, self.drawing.choice(self.known), {})

    def _expire(self) -> None:
        expire(self.vault, self.context.controller_id)


def recomputed(vault: Vault, ledger: Ledger, at: datetime) -> dict[str, State]:
    """Return the state of every agreement at an instant, from terms and events alone."""
    found = {}
    for agreement_id, template, version, since, until in ledger.rows(
        "vault.agreement", "true", "agreement_id, template_id, template_version, valid_from, valid_until"
    ):
        known = vault.templates[f"{template}@{version}"]
        rows = ledger.rows("vault.agreement_event", f"agreement_id = '{agreement_id}'", "number, kind, effective_at, excluded")
        events = [Event(number, kind, effective_at, frozenset(excluded)) for number, kind, effective_at, excluded in rows]
        begins = None if known.starts == "trigger" else since
        found[str(agreement_id)] = state(Terms(known.basis, begins, until), events, at)
    return found


def stands(one: Agreement | State) -> tuple[Any, ...]:
    return one.status, one.consent, frozenset(one.excluded), one.valid_until


@pytest.mark.parametrize("number", range(LIVES))
def test_the_derived_row_is_what_the_events_say(vault: Vault, controller_id: str, ledger: Ledger, number: int) -> None:
    register(vault, controller_id, "system")
    system = make_context(controller_id, "system", channel="phone")
    drawing = random.Random(number)  # noqa: S311 - a life drawn by number
    life = Life(vault, system, make_subject(vault, controller_id, VALUES, TEMPLATES), drawing)
    for _ in range(STEPS):
        life.step()
        assert recheck_agreements(vault, controller_id) == []
    assert len(life.lived) >= 3, life.lived
    for days in (0, 1, 400, 4_000):
        later = replace(vault, now=lambda days=days: life.clock + timedelta(days=days))  # type: ignore[misc]
        shown = {one.agreement_id: stands(one) for one in show_agreements(later, system, life.person.subject_id).agreements}
        assert {name: stands(one) for name, one in recomputed(vault, ledger, later.now()).items()} == shown
