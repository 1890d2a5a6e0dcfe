"""States of a person: who sets them, what each closes from the next read on, and that each change is on record first."""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from tests.makers import EVERYTHING, HEALTH, make_context, make_subject, make_ticket, register, terms
from tests.operations.conftest import Ledger
from vault.assembly import Vault
from vault.errors import AccessDenied, Conflict, InvalidValue, NotFound, Restricted, VaultError
from vault.opening import Addresses, Opened, assembled, open_keyring
from vault.operations.acting import prepare, record
from vault.operations.agree import agree
from vault.operations.break_glass import Plea, break_glass
from vault.operations.callers import Registration, register_caller
from vault.operations.disclose import disclose
from vault.operations.disclosure import Ask, decision_of
from vault.operations.explain import explain
from vault.operations.find import find
from vault.operations.object_to import object_to, overrule_objection, withdraw_objection
from vault.operations.oversee import approve_break_glass
from vault.operations.record_death import record_death
from vault.operations.restrict import lift_recorded, lift_restriction, restrict
from vault.operations.reveal import Wish, reveal
from vault.operations.show_agreements import show_agreements
from vault.operations.verify import verify
from vault.policy.model import Context

ALIKE = ("customer_number", "given_name", "email", "mobile", "iban", "contact_hours", "verification_phrase")
VALUES = {name: EVERYTHING[name] for name in ALIKE} | {"allergies": HEALTH["allergies"]}
WORDS = "il cliente rischia la truffa in questo momento"
FIELDS = ("given_name", "email", "contact_hours")


@dataclass(frozen=True)
class House:
    """A customer, and everybody who has to do with them."""

    vault: Vault
    controller_id: str
    subject_id: str

    def as_(self, role: str, **stated: Any) -> Context:
        """Return the context of the role's own work on the customer."""
        ticket = f"TCK-{role}" if role in ("t1", "t2", "medical", "dsr-officer") else None
        return make_context(self.controller_id, role, **{"ticket": ticket, "subject_id": self.subject_id, **stated})

    def own(self, level: int) -> Context:
        """Return the customer's own, with this much proof of who they are."""
        own = self.as_("customer")
        return replace(own, caller=replace(own.caller, level=level))

    def shown(self, role: str, *fields: str, vault: Vault | None = None, **stated: Any) -> dict[str, str]:
        """Return how fields are answered, or the refusal's code under `refused`."""
        try:
            ask = Ask(self.as_(role, **stated), self.subject_id, fields or FIELDS)
            found = disclose(vault or self.vault, ask).fields
            return {name: one.because if one.state == "withheld" else one.state for name, one in found.items()}
        except VaultError as refusal:
            return {"refused": refusal.code}


@pytest.fixture
def house(vault: Vault, controller_id: str) -> House:
    register(vault, controller_id, "t1", "t2", "medical", "dsr-officer", "dpo")
    made = make_subject(vault, controller_id, VALUES, ("health-insurance", "marketing"))
    for role in ("t1", "t2", "medical", "dsr-officer"):
        make_ticket(vault, controller_id, made.subject_id, role, f"TCK-{role}")
    return House(vault, controller_id, made.subject_id)


@pytest.fixture
def elsewhere(opened: Opened) -> Any:
    """The vault as another process has it: its own connections, keys and tables of decisions."""
    settings, addresses = opened.vault.settings, Addresses(opened.addresses.url, None)
    with assembled(settings, addresses, open_keyring(settings)) as other:
        yield other.vault


def before_now(house: House, seconds: float = 0) -> datetime:
    return house.vault.now() - timedelta(seconds=seconds)


def events(ledger: Ledger) -> list[tuple[str, Any]]:
    """Return what the outside was told of states, in order."""
    found = ledger.rows("vault.event", "name ~ '^subject:' AND name <> 'subject:enrolled' ORDER BY at", "name, data")
    return [(name, {key: value for key, value in data.items() if key != "subject_id"}) for name, data in found]


# --- restriction


@pytest.mark.parametrize("role", ["dsr-officer", "dpo"])
def test_what_is_restricted_is_withheld_from_the_next_read_on_in_every_process(
    house: House, ledger: Ledger, elsewhere: Vault, role: str
) -> None:
    assert house.shown("t1", vault=elsewhere)["email"] == "masked"
    done = restrict(house.vault, house.as_(role), house.subject_id, "accuracy", ["email"])
    assert done.version == 2
    for vault in (house.vault, elsewhere):
        assert house.shown("t1", vault=vault) == {"given_name": "clear", "email": "restricted", "contact_hours": "clear"}
    assert house.shown("t1", "email") == {"refused": "restricted"}
    assert house.shown("customer")["email"] == "clear"
    assert ledger.outcomes("restrict") == ["done"]
    assert events(ledger) == [("subject:restricted", {"fields": ["email"]})]


def test_a_person_is_restricted_as_a_whole(house: House) -> None:
    restrict(house.vault, house.as_("dpo"), house.subject_id, "unlawful")
    assert house.shown("t1") == house.shown("medical", "allergies") == {"refused": "restricted"}
    assert find(house.vault, house.as_("t1"), "email", VALUES["email"]).matches == ()
    with pytest.raises(Restricted):
        verify(house.vault, house.as_("t2"), house.subject_id, "email", VALUES["email"])


def test_two_who_restrict_both_do(house: House) -> None:
    for field in ("email", "iban"):
        restrict(house.vault, house.as_("dpo"), house.subject_id, "claims", [field])
    assert house.shown("t1", "email", "iban", "given_name") == {"email": "restricted", "iban": "restricted", "given_name": "clear"}


def test_break_glass_never_opens_what_is_restricted(house: House) -> None:
    """Not one asked for after it, and not one that was open when it began."""
    vault, controller_id = house.vault, house.controller_id
    for caller_id, role in (("lead-1", "break-glass-eligible"), ("lead-2", "break-glass-approver")):
        register_caller(vault, controller_id, Registration(caller_id, ("t1", role), "support"))
    agent = make_context(controller_id, "t1", ticket="TCK-t2", purpose="fraud-prevention")
    agent = replace(
        agent, caller=replace(agent.caller, id="lead-1", roles=frozenset({"t1", "break-glass-eligible"}), team="x", step_up=True)
    )
    approver = replace(
        agent, caller=replace(agent.caller, id="lead-2", roles=frozenset({"t1", "break-glass-approver"}), step_up=True)
    )
    plea, wish = Plea(("iban", "allergies"), "FRAUD_IN_PROGRESS", WORDS), Wish(("iban", "allergies"), "LEGAL_DUTY")
    grant = break_glass(vault, agent, house.subject_id, plea)
    approve_break_glass(vault, approver, grant.grant_id)
    assert {one.state for one in reveal(vault, agent, house.subject_id, wish).profile.fields.values()} == {"clear"}
    restrict(vault, house.as_("dpo"), house.subject_id, "claims", ["iban"])
    shown = reveal(vault, agent, house.subject_id, wish).profile.fields
    assert (shown["iban"].state, shown["iban"].because, shown["allergies"].state) == ("withheld", "restricted", "clear")
    restrict(vault, house.as_("dpo"), house.subject_id, "claims")
    with pytest.raises(Restricted):
        reveal(vault, agent, house.subject_id, Wish(("allergies",), "LEGAL_DUTY"))
    with pytest.raises(Restricted):
        break_glass(vault, agent, house.subject_id, plea)


def test_a_restriction_is_lifted_once_the_person_was_told(house: House, ledger: Ledger) -> None:
    early = before_now(house)
    restrict(house.vault, house.as_("dpo"), house.subject_id, "accuracy", ["email", "iban"])
    officer = house.as_("dsr-officer")
    for told_at in (None, early, house.vault.now() + timedelta(days=1)):
        with pytest.raises(Conflict, match="notice-needed"):
            lift_restriction(house.vault, officer, house.subject_id, told_at)
    assert house.shown("t1")["email"] == "restricted"
    with pytest.raises(Conflict, match="not-restricted"):
        lift_restriction(house.vault, officer, house.subject_id, before_now(house), ["mobile"])
    lift_restriction(house.vault, officer, house.subject_id, before_now(house), ["email"])
    assert house.shown("t1", "email", "iban") == {"email": "masked", "iban": "restricted"}
    assert ledger.rows("vault.subject", columns="restricted, restricted_at IS NULL") == [(["iban"], False)]
    lift_restriction(house.vault, officer, house.subject_id, before_now(house))
    assert ledger.rows("vault.subject", columns="restricted, restricted_at") == [([], None)]
    with pytest.raises(Conflict, match="not-restricted"):
        lift_restriction(house.vault, officer, house.subject_id, before_now(house))
    assert ledger.outcomes("lift_restriction") == ["refused"] * 4 + ["done"] * 2 + ["refused"]
    assert [name for name, _ in events(ledger)] == ["subject:restricted", "subject:unrestricted", "subject:unrestricted"]


def test_of_everything_some_is_lifted(house: House) -> None:
    restrict(house.vault, house.as_("dpo"), house.subject_id, "unlawful")
    lift_restriction(house.vault, house.as_("dpo"), house.subject_id, before_now(house), ["given_name"])
    restrict(house.vault, house.as_("dpo"), house.subject_id, "unlawful", ["mobile"])
    assert house.shown("t1") == {"given_name": "clear", "email": "restricted", "contact_hours": "restricted"}
    restrict(house.vault, house.as_("dpo"), house.subject_id, "unlawful")
    assert house.shown("t1") == {"refused": "restricted"}


def test_what_is_told_of_a_lift_is_what_was_lifted(house: House, ledger: Ledger) -> None:
    """Seen failing with what was asked for told: recipients heard that fields were free which a replay had left restricted."""
    restrict(house.vault, house.as_("dpo"), house.subject_id, "unlawful", ["email", "mobile"])
    acting = prepare(house.vault, "lift_restriction", house.as_("dpo"), house.subject_id)
    record(house.vault, acting, details={"result": "unrestricted"})
    lift_recorded(house.vault, acting, frozenset({"*"}), wrong=frozenset({"email"}))
    assert events(ledger)[-1] == ("subject:unrestricted", {"fields": ["mobile"]})
    lift_restriction(house.vault, house.as_("dpo"), house.subject_id, before_now(house), ["email", "given_name"])
    assert events(ledger)[-1] == ("subject:unrestricted", {"fields": ["email"]})
    restrict(house.vault, house.as_("dpo"), house.subject_id, "unlawful")
    lift_restriction(house.vault, house.as_("dpo"), house.subject_id, before_now(house))
    assert events(ledger)[-1] == ("subject:unrestricted", {"fields": ["*"]})


def test_a_consent_given_after_a_restriction_passes(house: House) -> None:
    restrict(house.vault, house.as_("dpo"), house.subject_id, "accuracy", ["email"])
    assert marketed(house) == "refused"
    later = datetime.now(UTC).isoformat()
    agree(house.vault, house.as_("t2"), house.subject_id, terms("marketing", indicated_at=later))
    assert marketed(house) == "token"
    assert house.shown("t1")["email"] == "restricted"


def test_what_a_person_must_not_learn_of_is_restricted_in_silence(house: House, ledger: Ledger) -> None:
    done = restrict(house.vault, house.as_("dpo"), house.subject_id, "unlawful", ["aml_note", "iban"])
    assert events(ledger) == [("subject:restricted", {"fields": ["iban"]})]
    assert done.entry_id in {leaf["id"] for leaf in ledger.leaves("restrict")}
    assert "aml_note" not in repr(ledger.leaves("restrict"))


@pytest.mark.parametrize(
    ("ground", "fields", "fault"),
    [
        ("spite", None, ("/ground", "ground.unknown")),
        ("claims", [], ("/fields", "fields.count")),
        ("claims", ["shoe"], ("/fields", "field.unknown")),
    ],
)
def test_what_is_no_restriction_is_refused(house: House, ground: str, fields: Any, fault: tuple[str, str]) -> None:
    with pytest.raises(InvalidValue) as wrong:
        restrict(house.vault, house.as_("dpo"), house.subject_id, ground, fields)
    assert [(one.pointer, one.code) for one in wrong.value.faults] == [fault]


@pytest.mark.parametrize(
    ("role", "error"), [("t1", AccessDenied), ("t2", AccessDenied), ("customer", AccessDenied), ("system", NotFound)]
)
def test_nobody_else_restricts(house: House, ledger: Ledger, role: str, error: type[VaultError]) -> None:
    with pytest.raises(error):
        restrict(house.vault, house.as_(role), house.subject_id, "claims")
    assert ledger.outcomes("restrict") == ["refused"]
    assert house.shown("t1")["email"] == "masked"


def test_nobody_is_restricted_who_is_not_there(house: House) -> None:
    nobody = "sub_" + "z" * 26
    for change in (
        lambda: restrict(house.vault, house.as_("dpo"), nobody, "claims"),
        lambda: lift_restriction(house.vault, house.as_("dpo"), nobody, before_now(house)),
        lambda: object_to(house.vault, house.as_("system", channel="phone"), nobody, "marketing"),
        lambda: record_death(house.vault, house.as_("dpo"), nobody, None, "court"),
    ):
        with pytest.raises(NotFound):
            change()


# --- objection


def marketed(house: House, vault: Vault | None = None) -> str:
    return house.shown("system", "email", purpose="marketing", vault=vault).get("email", "refused")


@pytest.mark.parametrize("role", ["t1", "t2", "medical", "system", "dsr-officer"])
def test_against_marketing_a_word_suffices(house: House, ledger: Ledger, elsewhere: Vault, role: str) -> None:
    assert marketed(house) == marketed(house, elsewhere) == "token"
    object_to(house.vault, house.as_(role), house.subject_id, "marketing")
    assert marketed(house) == marketed(house, elsewhere) == "refused"
    assert house.shown("t1")["email"] == "masked"
    assert events(ledger) == [("subject:objected", {"to": "marketing"})]


def test_the_person_objects_to_marketing_without_proof_and_takes_it_back_with_some(house: House, ledger: Ledger) -> None:
    with pytest.raises(NotFound):
        object_to(house.vault, house.as_("customer", subject_id="sub_" + "z" * 26), house.subject_id, "marketing")
    object_to(house.vault, house.own(0), house.subject_id, "marketing")
    assert marketed(house) == "refused"
    with pytest.raises(AccessDenied, match="level-needed"):
        withdraw_objection(house.vault, house.own(1), house.subject_id, "marketing")
    withdraw_objection(house.vault, house.own(2), house.subject_id, "marketing")
    assert marketed(house) == "token"
    with pytest.raises(Conflict, match="not-objected"):
        withdraw_objection(house.vault, house.own(2), house.subject_id, "marketing")
    assert [name for name, _ in events(ledger)] == ["subject:objected", "subject:objection-ended"]


def test_a_consent_given_later_stands_against_the_objection_and_no_other(house: House) -> None:
    object_to(house.vault, house.own(0), house.subject_id, "marketing")
    later = datetime.now(UTC).isoformat()
    agree(house.vault, house.as_("t2"), house.subject_id, terms("marketing", indicated_at=later))
    assert marketed(house) == "token"
    object_to(house.vault, house.own(2), house.subject_id, "interests")
    assert marketed(house) == "token"  # it is not what was objected to
    object_to(house.vault, house.own(0), house.subject_id, "marketing")
    assert marketed(house) == "refused"


def test_an_objection_to_interests_leaves_contracts_alone_and_is_weighed_by_the_officer(house: House, ledger: Ledger) -> None:
    with pytest.raises(AccessDenied, match="level-needed"):
        object_to(house.vault, house.own(1), house.subject_id, "interests")
    with pytest.raises(AccessDenied):
        object_to(house.vault, house.as_("t2"), house.subject_id, "interests")
    with pytest.raises(Conflict, match="not-objected"):
        overrule_objection(house.vault, house.as_("dpo"), house.subject_id, WORDS)
    object_to(house.vault, house.own(2), house.subject_id, "interests")
    assert ledger.rows("vault.subject", columns="objected, objected_marketing, version") == [(True, False, 2)]
    assert house.shown("t1")["email"] == "masked"
    with pytest.raises(InvalidValue):
        overrule_objection(house.vault, house.as_("dpo"), house.subject_id, "perché sì")
    overrule_objection(house.vault, house.as_("dpo"), house.subject_id, WORDS)
    assert ledger.rows("vault.subject", columns="objected") == [(False,)]
    assert ledger.outcomes("overrule_objection") == ["refused", "done"]


def test_marketing_is_never_weighed(house: House) -> None:
    object_to(house.vault, house.own(0), house.subject_id, "marketing")
    with pytest.raises(Conflict, match="not-objected"):
        overrule_objection(house.vault, house.as_("dpo"), house.subject_id, WORDS)
    with pytest.raises(NotFound):
        withdraw_objection(house.vault, house.as_("dpo"), house.subject_id, "marketing")
    assert marketed(house) == "refused"


# --- death

DIED = date(2026, 1, 2)


def test_after_a_death_consents_decide_nothing_and_contracts_go_on(house: House, ledger: Ledger, elsewhere: Vault) -> None:
    assert house.shown("medical", "allergies", vault=elsewhere) == {"allergies": "clear"}
    assert marketed(house, elsewhere) == "token"
    record_death(house.vault, house.as_("dpo"), house.subject_id, DIED, "death-certificate")
    for vault in (house.vault, elsewhere):
        assert house.shown("medical", "allergies", "given_name", vault=vault) == {"allergies": "deceased", "given_name": "clear"}
        assert marketed(house, vault) == "refused"
        assert house.shown("t1", vault=vault)["email"] == "masked"
    assert house.shown("dsr-officer", "allergies", "email") == {"allergies": "clear", "email": "clear"}  # for who has a right
    assert ledger.rows("vault.subject", columns="deceased_on, version") == [(DIED, 2)]
    assert events(ledger) == [("subject:died", {})]


def test_the_token_of_the_dead_is_nobodys(house: House) -> None:
    own = house.as_("customer")
    shown = disclose(house.vault, Ask(own, house.subject_id, FIELDS))
    decision_id = decision_of(shown.entry_id)
    assert explain(house.vault, own, decision_id).document["reader"] == "person"
    record_death(house.vault, house.as_("dsr-officer"), house.subject_id, DIED, "civil-registry")
    assert house.shown("customer") == {"refused": "not-found"}
    for act in (
        lambda: show_agreements(house.vault, own, house.subject_id),
        lambda: object_to(house.vault, own, house.subject_id, "marketing"),
        lambda: explain(house.vault, own, decision_id),
    ):
        with pytest.raises(NotFound):
            act()


def test_nobody_is_verified_as_the_dead(house: House) -> None:
    def revealed() -> str:
        return reveal(house.vault, house.as_("t2"), house.subject_id, Wish(("email",), "CALLBACK")).profile.fields["email"].state

    verify(house.vault, house.as_("t2"), house.subject_id, "verification_phrase", VALUES["verification_phrase"])
    assert revealed() == "clear"
    record_death(house.vault, house.as_("dpo"), house.subject_id, DIED, "notary")
    assert revealed() == "masked"


def test_a_death_recorded_by_error_is_taken_back(house: House, ledger: Ledger) -> None:
    with pytest.raises(Conflict, match="not-deceased"):
        record_death(house.vault, house.as_("dpo"), house.subject_id, None, "civil-registry")
    record_death(house.vault, house.as_("dpo"), house.subject_id, DIED, "death-certificate")
    record_death(house.vault, house.as_("dpo"), house.subject_id, None, "civil-registry")
    assert house.shown("customer")["email"] == "clear"
    assert marketed(house) == "token"
    assert [name for name, _ in events(ledger)] == ["subject:died", "subject:death-retracted"]


def test_nobody_dies_tomorrow_nor_by_an_agents_word(house: House) -> None:
    tomorrow = (house.vault.now() + timedelta(days=2)).date()
    with pytest.raises(InvalidValue):
        record_death(house.vault, house.as_("dpo"), house.subject_id, tomorrow, "court")
    for role in ("t1", "t2", "customer"):
        with pytest.raises(AccessDenied):
            record_death(house.vault, house.as_(role), house.subject_id, DIED, "court")


# --- minority: what is stored is a band


@pytest.mark.parametrize(
    ("band", "shown"), [("under-14", "refused"), ("14-17", "refused"), ("adult", "token"), ("unknown", "token")]
)
def test_nobody_under_18_is_marketed_to(house: House, ledger: Ledger, band: str, shown: str) -> None:
    ledger.owner(f"UPDATE vault.subject SET minor = '{band}' WHERE subject_id = '{house.subject_id}'")
    assert marketed(house) == shown
