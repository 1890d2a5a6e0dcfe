"""Fields are left out of an agreement: from the next read on nothing rests on it for them, and what holds nothing holds no key."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests import makers
from tests.assurance.yes import AlwaysYes
from tests.makers import make_context, make_subject, make_ticket, register, terms
from tests.operations.conftest import Ledger
from tests.publishers import describe
from vault.assembly import Vault
from vault.errors import AccessDenied, Conflict, InvalidValue, NotFound, Unreadable, VaultError
from vault.operations.agree import agree
from vault.operations.amend import amend
from vault.operations.disclose import disclose
from vault.operations.disclosure import Ask, Profile
from vault.operations.enroll import Enrolled, enroll
from vault.operations.narrow import narrow
from vault.operations.recheck_agreements import recheck_agreements
from vault.operations.show_receipt import show_receipt
from vault.operations.withdraw import withdraw
from vault.policy.model import Context

SAID = {"method": "call", "agent": "t2-1"}
VALUES = {name: makers.EVERYTHING[name] for name in ("given_name", "email", "preferred_language", "iban", "tax_code")}
CONTACT = {name: VALUES[name] for name in ("given_name", "email", "preferred_language")}


@pytest.fixture
def system(vault: Vault, controller_id: str) -> Context:
    """The helpdesk system, passing on what was said on the phone."""
    register(vault, controller_id, "system", "t1")
    return make_context(controller_id, "system", channel="phone")


@pytest.fixture
def person(vault: Vault, controller_id: str, system: Context) -> Enrolled:
    """Somebody under a contract and a consent: the first holds two classes, the second one of them."""
    del system
    return make_subject(vault, controller_id, VALUES, ("retail", "marketing"))


def all_of(vault: Vault, template: str, class_name: str) -> frozenset[str]:
    """Return every field of a class that a template grants."""
    fields = vault.catalogue.fields
    return frozenset(name for name in vault.policy.granted_fields(template) if fields[name].class_name == class_name)


def read(vault: Vault, controller_id: str, person: Enrolled, role: str, *fields: str, purpose: str | None = None) -> Profile:
    """Read as a role, with a ticket of theirs."""
    ticket = None if role in ("customer", "system") else make_ticket(vault, controller_id, person.subject_id, role)
    own = person.subject_id if role == "customer" else None
    context = make_context(controller_id, role, ticket=ticket, purpose=purpose, subject_id=own)
    return disclose(vault, Ask(context, person.subject_id, fields))


def said_yes(vault: Vault, controller_id: str, person: Enrolled, agreement_id: str, *fields: str) -> dict[str, Any]:
    policy = AlwaysYes(vault.policy._bundle)
    policy.agreement_id = agreement_id
    context = make_context(controller_id, "t1", ticket="TCK-1")
    shown = disclose(replace(vault, policy=policy), Ask(context, person.subject_id, fields)).fields
    return {name: one.value for name, one in shown.items()}


def holders(ledger: Ledger, class_name: str) -> set[tuple[str, str]]:
    return set(ledger.rows("keys.data_key_wrap", f"class = '{class_name}'", "holder_kind, holder_id"))


def test_nothing_rests_on_what_was_left_out_from_the_next_read_on(
    vault: Vault, controller_id: str, person: Enrolled, system: Context, ledger: Ledger
) -> None:
    retail, _ = person.agreements
    assert read(vault, controller_id, person, "t1", "email").fields["email"].state == "masked"
    done = narrow(vault, system, retail, ["iban", "email"], SAID)
    assert (done.excluded, done.emptied, done.version) == (("email", "iban"), (), 2)
    shown = read(vault, controller_id, person, "t1", "email", "iban", "given_name", "tax_code").fields
    assert {name: (one.state, one.because) for name, one in shown.items()} == {
        "email": ("withheld", "field-excluded"),
        "iban": ("withheld", "field-excluded"),
        "given_name": ("clear", "support-t1-identity"),
        "tax_code": ("token", "support-t1-tokens"),
    }
    marketing = read(vault, controller_id, person, "system", "email", purpose="marketing")  # another agreement, another matter
    assert (marketing.fields["email"].state, marketing.agreements) == ("token", (person.agreements[1],))
    own = read(vault, controller_id, person, "customer", "email", "iban").fields
    assert {name: one.value for name, one in own.items()} == {name: VALUES[name] for name in ("email", "iban")}
    with pytest.raises(NotFound):  # nor may it be changed: nothing there covers it
        amend(vault, system, person.subject_id, retail, {"email": "n@example.it"}, 2)


def test_what_is_on_record_of_it(vault: Vault, controller_id: str, person: Enrolled, system: Context, ledger: Ledger) -> None:
    retail, _ = person.agreements
    done = narrow(vault, system, retail, ["email"], SAID)
    narrow(vault, system, retail, ["iban"], SAID)
    of = f"agreement_id = '{retail}'"
    assert ledger.rows("vault.agreement_event", f"{of} ORDER BY number", "kind, excluded") == [
        ("given", []), ("narrowed", ["email"]), ("narrowed", ["iban"]),
    ]  # fmt: skip
    assert ledger.rows("vault.agreement_state", of, "status, excluded") == [("in_force", ["email", "iban"])]
    events = ledger.rows("vault.event", "name = 'agreement:narrowed' ORDER BY at, event_id", "data")
    assert [data["fields"] for (data,) in events] == [["email"], ["iban"]]
    ((evidence, entry_id),) = ledger.rows("vault.agreement_event", f"{of} AND number = 2", "evidence, entry_id")
    assert (entry_id, b"t2-1" in evidence) == (done.entry_id, False)
    first, second = ledger.leaves("narrow")
    assert (first["id"], first["outcome"], first["count"], first["terms"]) == (done.entry_id, "done", 1, ["retail@1"])
    assert second["outcome"] == "done"
    assert recheck_agreements(vault, controller_id) == []


def test_each_receipt_says_what_was_left_out_by_then(vault: Vault, controller_id: str, person: Enrolled, system: Context) -> None:
    describe(vault.settings, controller_id)
    consent, own = person.agreements[1], make_context(controller_id, "customer", subject_id=person.subject_id)
    before = show_receipt(vault, own, consent).receipt
    narrow(vault, system, consent, ["mobile"], SAID)
    narrow(vault, system, consent, ["phone"], SAID)
    assert show_receipt(vault, own, consent, number=1).receipt == before
    said = [json.loads(show_receipt(vault, own, consent, number=n).receipt)["dpv:hasRecordOfActivity"] for n in (1, 2, 3)]
    assert [one.get("vault:excludesField") for one in said] == [None, ["mobile"], ["mobile", "phone"]]
    assert [one["@type"][0] for one in said[2]["dpv:hasConsentStatus"]] == ["dpv:ConsentGiven"] * 3


def test_a_class_of_which_nothing_is_left_loses_the_wrap(
    vault: Vault, controller_id: str, person: Enrolled, system: Context, ledger: Ledger
) -> None:
    """The last field but one leaves the wrap; the last takes it, and no policy opens through this agreement any more."""
    retail, marketing = person.agreements
    everything = all_of(vault, "retail@1", "contact")
    narrow(vault, system, retail, everything - {"contact_hours"}, SAID)
    assert said_yes(vault, controller_id, person, retail, *CONTACT) == CONTACT
    assert narrow(vault, system, retail, ["contact_hours"], SAID).emptied == ()
    with pytest.raises(Unreadable):
        said_yes(vault, controller_id, person, retail, "email")
    assert ("agreement", retail) not in holders(ledger, "contact")
    assert ("agreement", retail) in holders(ledger, "financial")
    assert said_yes(vault, controller_id, person, marketing, *CONTACT) == CONTACT
    own = read(vault, controller_id, person, "customer", "email", "iban")
    assert {name: one.value for name, one in own.fields.items()} == {name: VALUES[name] for name in ("email", "iban")}
    assert set(own.agreements) == {retail, marketing}
    assert recheck_agreements(vault, controller_id) == []


def test_what_nothing_holds_any_more_is_gone_and_what_a_duty_keeps_is_archived(
    vault: Vault, controller_id: str, system: Context, ledger: Ledger
) -> None:
    alone = make_subject(vault, controller_id, CONTACT, ("marketing",))
    assert narrow(vault, system, alone.agreements[0], all_of(vault, "marketing@1", "contact"), SAID).emptied == ("contact",)
    assert [ledger.rows(table) for table in ("vault.profile_frame", "keys.data_key", "keys.blind_index")] == [[], [], []]
    customer = make_subject(vault, controller_id, {**VALUES, "email": "altra@example.it"})
    assert narrow(vault, system, customer.agreements[0], all_of(vault, "retail@1", "financial"), SAID).emptied == ()
    states = ledger.rows("keys.data_key", "true ORDER BY class", "class, state")
    assert states == [("contact", "current"), ("financial", "archived")]
    assert {kind for kind, _ in holders(ledger, "financial")} == {"hold"}
    amend(vault, system, customer.subject_id, customer.agreements[0], {"contact_hours": "mai"}, 2)
    with pytest.raises(NotFound):
        amend(vault, system, customer.subject_id, customer.agreements[0], {"iban": VALUES["iban"]}, 3)


def test_taking_a_field_in_again_is_a_new_agreement(vault: Vault, controller_id: str, person: Enrolled, system: Context) -> None:
    _, consent = person.agreements
    narrow(vault, system, consent, all_of(vault, "marketing@1", "contact"), SAID)
    with pytest.raises(NotFound):
        read(vault, controller_id, person, "system", "email", purpose="marketing")
    again = agree(vault, system, person.subject_id, terms("marketing"))
    shown = read(vault, controller_id, person, "system", "email", purpose="marketing")
    assert (shown.fields["email"].state, shown.agreements) == ("token", (again.agreement_id,))


def test_its_tokens_of_these_fields_end_and_no_others(
    vault: Vault, controller_id: str, person: Enrolled, system: Context, ledger: Ledger
) -> None:
    read(vault, controller_id, person, "system", "email", "tax_code")
    read(vault, controller_id, person, "t1", "tax_code")
    narrow(vault, system, person.agreements[0], ["email"], SAID)
    ended = dict(ledger.rows("keys.token", "true", "field, expires_at IS NOT NULL"))
    assert ended == {"email": True, "tax_code": False}


def test_a_class_left_out_when_agreeing_gets_no_wrap(vault: Vault, controller_id: str, system: Context, ledger: Ledger) -> None:
    person = make_subject(vault, controller_id, VALUES)
    made = agree(vault, system, person.subject_id, terms("retail", excluded=all_of(vault, "retail@1", "financial")))
    assert ("agreement", made.agreement_id) in holders(ledger, "contact")
    assert ("agreement", made.agreement_id) not in holders(ledger, "financial")
    withdraw(vault, system, person.agreements[0], {})
    amend(vault, system, person.subject_id, made.agreement_id, {"contact_hours": "mai"}, 3)
    assert recheck_agreements(vault, controller_id) == []


@pytest.mark.parametrize("when", ["enrolled", "amended"])
def test_a_duty_keeps_nothing_that_was_never_shared_under_it(
    vault: Vault, controller_id: str, system: Context, ledger: Ledger, when: str
) -> None:
    """Contact data left out of the contract and given for marketing alone go with that consent, whatever the contract must keep."""
    contract = terms("retail", excluded=all_of(vault, "retail@1", "contact"))
    shared = VALUES if when == "enrolled" else {"iban": VALUES["iban"]}
    made = enroll(vault, system, shared, (contract, terms("marketing")))
    if when == "amended":
        marketing = replace(system, purpose="marketing")
        amend(vault, marketing, made.subject_id, made.agreements[1], {"email": VALUES["email"]}, 1)
    assert holders(ledger, "contact") == {("agreement", made.agreements[1])}
    assert {kind for kind, _ in holders(ledger, "financial")} == {"agreement", "hold"}
    assert withdraw(vault, system, made.agreements[1], {}).emptied == ("contact",)


# --- refused


@pytest.mark.parametrize("excluded", [["credit_score"], ["health_note"], ["no_such_field"], ["mobile", "aml_note"]])
def test_what_it_does_not_cover_cannot_be_left_out(
    vault: Vault, controller_id: str, person: Enrolled, system: Context, ledger: Ledger, excluded: list[str]
) -> None:
    with pytest.raises(InvalidValue) as refusal:
        narrow(vault, system, person.agreements[0], excluded, SAID)
    assert [(one.pointer, one.code) for one in refusal.value.faults] == [(f"/excluded/{len(excluded) - 1}", "field.not-agreed")]
    assert len(ledger.rows("vault.agreement_event", f"agreement_id = '{person.agreements[0]}'")) == 1


def test_what_is_left_out_cannot_be_left_out_again(vault: Vault, person: Enrolled, system: Context) -> None:
    narrow(vault, system, person.agreements[0], ["email"], SAID)
    with pytest.raises(InvalidValue):
        narrow(vault, system, person.agreements[0], ["email"], SAID)


def refused(act: Callable[[], object], kind: type[VaultError], code: str) -> None:
    with pytest.raises(kind) as refusal:
        act()
    assert refusal.value.code == code


def test_what_is_over_cannot_be_narrowed(
    vault: Vault, controller_id: str, person: Enrolled, system: Context, ledger: Ledger
) -> None:
    later = replace(vault, now=lambda: vault.now() + timedelta(days=3 * 366))
    refused(lambda: narrow(later, system, person.agreements[1], ["email"], SAID), Conflict, "agreement-not-in-force")
    withdraw(vault, system, person.agreements[1], {})
    refused(lambda: narrow(vault, system, person.agreements[1], ["email"], SAID), Conflict, "agreement-not-in-force")
    ((companion,),) = ledger.rows("vault.agreement_state", "status = 'dormant'", "agreement_id")
    refused(lambda: narrow(vault, system, companion, ["email"], SAID), Conflict, "agreement-not-in-force")
    refused(lambda: narrow(vault, system, "agr_" + "z" * 26, ["email"], SAID), NotFound, "not-found")
    assert ledger.outcomes("narrow") == ["refused"] * 4


def test_only_the_person_and_those_who_may_agree_for_them_narrow(
    vault: Vault, controller_id: str, person: Enrolled, ledger: Ledger
) -> None:
    register(vault, controller_id, "dpo")
    other = make_context(controller_id, "customer", subject_id="sub_" + "z" * 26)
    for context in (other, make_context(controller_id, "dpo"), make_context(controller_id, "t1", ticket="TCK-9")):
        with pytest.raises((NotFound, AccessDenied)):
            narrow(vault, context, person.agreements[0], ["email"], SAID)
    own = make_context(controller_id, "customer", subject_id=person.subject_id)
    assert narrow(vault, own, person.agreements[0], ["email"], SAID).version == 2
    assert ledger.outcomes("narrow") == ["refused", "refused", "refused", "done"]


@pytest.mark.parametrize(("meanwhile", "code"), [("narrow", "changed-meanwhile"), ("by SQL", "agreement-not-in-force")])
def test_what_changes_meanwhile_is_a_conflict_on_record(
    vault: Vault, person: Enrolled, system: Context, ledger: Ledger, meanwhile: str, code: str
) -> None:
    """Between reading and writing somebody else narrows it, or it ends: what was left out then must not be forgotten."""
    consent = person.agreements[1]
    first: list[str] = []

    def new_id(prefix: str) -> str:
        """Hand out the entry's id, which is asked for after the reading: meanwhile others act."""
        if prefix == "ent" and not first:
            first.append(prefix)
            if meanwhile == "narrow":
                narrow(vault, system, consent, ["phone"], SAID)
            else:
                ledger.owner(f"UPDATE vault.agreement_state SET status = 'ended' WHERE agreement_id = '{consent}'")
        return vault.new_id(prefix)

    refused(lambda: narrow(replace(vault, new_id=new_id), system, consent, ["mobile"], SAID), Conflict, code)
    expected = ["phone"] if meanwhile == "narrow" else []
    assert ledger.rows("vault.agreement_state", f"agreement_id = '{consent}'", "excluded") == [(expected,)]
    assert ledger.outcomes("narrow")[-1] == "failed"
