"""Explaining: the record taken again, told to each reader as far as they may know, and every reading on record."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson
import psycopg
import pytest

from tests.makers import make_complete_subject, make_context, make_subject, make_ticket, register
from tests.operations.conftest import Ledger
from vault.assembly import Vault
from vault.errors import AuditUnavailable, Conflict, Erased, NotFound, Unreadable
from vault.operations.amend import amend
from vault.operations.bundle_of import bundle_of
from vault.operations.disclose import disclose
from vault.operations.disclosure import Ask
from vault.operations.explain import explain, explain_in_house
from vault.operations.find import find
from vault.policy.engine import Policy
from vault.policy.model import Caller, Context

FIELDS = ("given_name", "email", "iban", "tax_code", "health_note", "aml_note", "date_of_birth")
NOBODY = "sub_" + "z" * 26


@pytest.fixture
def person(vault: Vault, controller_id: str) -> str:
    register(vault, controller_id, "t1", "t2", "dpo", "system", "operator")
    return make_complete_subject(vault, controller_id, "retail")


@pytest.fixture
def desk(vault: Vault, controller_id: str, person: str) -> Context:
    return make_context(controller_id, "t2", ticket=make_ticket(vault, controller_id, person, "t2"))


def about(vault: Vault, desk: Context, person: str, *fields: str) -> str:
    return disclose(vault, Ask(desk, person, fields or FIELDS)).decision_id


def as_a(role: str, desk: Context, **stated: Any) -> Context:
    return make_context(desk.controller_id, role, **stated)


def test_an_agent_is_told_reasons_and_what_would_have_been_needed(vault: Vault, desk: Context, person: str) -> None:
    told = explain(vault, desk, about(vault, desk, person)).document
    assert told["reader"] == "desk"
    assert told["operation"] == "disclose"
    email = told["fields"]["email"]
    assert (email["state"], email["mask"], email["because"]) == ("masked", "email_domain", "support-t2-contact")
    assert {"act": "reveal", "caller_verified": True} in [one["changes"] for one in email["needed"]]
    assert told["fields"]["health_note"]["needed"] == []
    text = orjson.dumps(told)
    assert b"sha256:" not in text
    assert person.encode() not in text
    assert not any(name in told for name in ("policy", "row", "input", "agreements"))


def test_the_officer_is_told_policies_agreements_and_digests_and_no_value(vault: Vault, desk: Context, person: str) -> None:
    decision_id = about(vault, desk, person)
    for told in (
        explain(vault, as_a("dpo", desk), decision_id).document,
        explain_in_house(vault, desk.controller_id, decision_id).document,
    ):
        assert (told["reader"], told["subject_id"], told["policy"]) == ("office", person, vault.policy.digest)
        assert told["row"].startswith("sha256:")
        assert told["input"]["roles"] == ["t2"]
        assert told["agreements"][0]["template"] == "retail@1"
        assert "email" in told["agreements"][0]["lawful"]
        assert told["fields"]["email"]["policies"] == ["t2-contact"]
        assert told["fields"]["email"]["agreement_id"] == told["agreements"][0]["agreement_id"]
        assert "view_clear" in told["fields"]["email"]["blocked"]
        assert told["fields"]["aml_note"]["state"] == "withheld"
        assert b"giulia" not in orjson.dumps(told).lower()


def test_the_person_is_told_in_plain_words_and_not_of_what_is_kept_from_them(vault: Vault, desk: Context, person: str) -> None:
    told = explain(vault, as_a("customer", desk, subject_id=person), about(vault, desk, person)).document
    assert told["reader"] == "person"
    assert set(told["fields"]) == set(FIELDS) - {"aml_note"}
    assert "shown in part only" in told["fields"]["email"]["words"]["en"]
    assert "dato mostrato solo in parte" in told["fields"]["email"]["words"]["it"]
    assert b"aml_note" not in orjson.dumps(told)
    assert "needed" not in told["fields"]["email"]
    assert "policies" not in told["fields"]["email"]


def test_who_asks_about_a_held_decision_stays_out_of_the_chain_the_person_sees(
    vault: Vault, desk: Context, person: str, ledger: Ledger
) -> None:
    decision_id = about(vault, desk, person)
    entry_id = "ent_" + decision_id.removeprefix("dec_")
    ledger.leaves("disclose")
    for table in ("audit_lookup", "audit_detail"):
        ledger.owner(f"UPDATE vault.{table} SET stream = 'held' WHERE entry_id = '{entry_id}'")
    for reader in (desk, as_a("dpo", desk)):
        explain(vault, reader, decision_id)
    explain_in_house(vault, desk.controller_id, decision_id)
    ledger.leaves("explain")
    assert ledger.rows("vault.audit_lookup", "operation = 'explain'", "subject_id, stream") == [(person, "held")] * 3


def strangers(desk: Context, person: str) -> Mapping[str, Context]:
    colleague = Caller("t2-2", "agent", frozenset({"t2"}), "zammad", team="support")
    return {
        "another agent": as_a("t1", desk, ticket="TCK-1"),
        "an unregistered namesake's colleague": replace(desk, caller=colleague),
        "the operator": as_a("operator", desk),
        "the system": as_a("system", desk),
        "another customer": as_a("customer", desk, subject_id=NOBODY),
        "an officer nobody registered": replace(
            as_a("dpo", desk), caller=Caller("dpo-9", "dpo", frozenset({"dpo"}), "zammad")
        ),
        "the officer's token without the role": replace(
            as_a("dpo", desk), caller=Caller("dpo-1", "dpo", frozenset({"operator"}), "zammad")
        ),
    }  # fmt: skip


def test_everybody_else_gets_the_uniform_404_on_record(vault: Vault, desk: Context, person: str, ledger: Ledger) -> None:
    decision_id = about(vault, desk, person)
    for who, context in strangers(desk, person).items():
        answers = []
        for asked in (decision_id, "dec_" + "a" * 26):
            with pytest.raises(NotFound) as refusal:
                explain(vault, context, asked)
            answers.append((refusal.value.code, refusal.value.faults))
            assert refusal.value.entry_id in {leaf["id"] for leaf in ledger.leaves("explain") if leaf["outcome"] == "refused"}, who
        assert answers[0] == answers[1], who


def test_each_reading_is_on_record_in_the_persons_chain(vault: Vault, desk: Context, person: str, ledger: Ledger) -> None:
    entry_id = explain(vault, desk, about(vault, desk, person)).entry_id
    assert ledger.outcomes("explain") == ["done"]
    assert ledger.rows("vault.audit_lookup", f"entry_id = '{entry_id}'", "subject_id") == [(person,)]


def test_an_agent_who_got_the_404_is_not_told_whether_the_person_is_here(vault: Vault, desk: Context, person: str) -> None:
    told = []
    for subject_id in (person, NOBODY):
        with pytest.raises(NotFound) as refusal:
            disclose(vault, Ask(as_a("t2", desk, ticket="TCK-9", purpose="marketing"), subject_id, FIELDS))
        document = explain(vault, desk, refusal.value.decision_id or "").document
        told.append({name: one for name, one in document.items() if name not in ("decision_id", "of_entry_id", "at")})
    assert told[0] == told[1]
    assert (told[0]["outcome"], told[0]["because"]) == ("refused", "not-found")
    office = explain(vault, as_a("dpo", desk), refusal.value.decision_id or "").document
    assert office["subject_id"] is None
    assert office["fields"]["email"]["because"] == "no-agreement"


def test_a_refusal_to_one_who_knows_the_person_is_explained(vault: Vault, desk: Context, person: str) -> None:
    nothing = disclose(vault, Ask(desk, person, ("credit_score",)))
    told = explain(vault, desk, nothing.decision_id).document
    assert told["fields"]["credit_score"]["because"] == "field-excluded"


def test_what_is_absent_is_absent_in_the_explanation_too(vault: Vault, desk: Context) -> None:
    other = make_subject(vault, desk.controller_id, {"given_name": "Ada"}).subject_id
    mine = as_a("t2", desk, ticket=make_ticket(vault, desk.controller_id, other, "t2", "TCK-2"))
    told = explain(vault, mine, about(vault, mine, other, "given_name", "email")).document
    assert {name: one["state"] for name, one in told["fields"].items()} == {"given_name": "clear", "email": "absent"}


def test_acts_that_decide_on_no_field_are_told_in_outline(vault: Vault, desk: Context, person: str) -> None:
    with pytest.raises(NotFound) as refusal:
        amend(vault, as_a("t1", desk, ticket="TCK-9"), person, "agr_" + "a" * 26, {"iban": "x"}, 1)
    told = explain(vault, as_a("t1", desk, ticket="TCK-9"), refusal.value.decision_id or "").document
    assert (told["operation"], told["outcome"], told["because"]) == ("amend", "refused", "not-found")
    assert "fields" not in told


def test_a_look_up_is_explained_like_any_disclosure(vault: Vault, desk: Context) -> None:
    made = make_subject(vault, desk.controller_id, {"given_name": "Ada", "family_name": "Neri", "email": "ada@example.it"})
    mine = as_a("t2", desk, ticket=make_ticket(vault, desk.controller_id, made.subject_id, "t2", "TCK-3"))
    for value in ("ada@example.it", "nessuno@example.it"):
        found = find(vault, mine, "email", value)
        told = explain(vault, mine, "dec_" + found.entry_id.removeprefix("ent_")).document
        assert told["operation"] == "find"
        assert ("fields" in told) == bool(found.matches)


def test_a_decision_that_comes_out_otherwise_is_an_alarm_and_never_an_explanation(
    vault: Vault, desk: Context, person: str, ledger: Ledger
) -> None:
    decision_id, alarms = about(vault, desk, person), list[str]()

    class Otherwise(Policy):
        """The same bundle, but an engine whose rows come out otherwise: as after a fault, or a bundle that was exchanged."""

        def view_anew(self, key: Any) -> Any:
            row, body = super().view_anew(key)
            return replace(row, digest="sha256:" + "0" * 64), body

    other = replace(vault, policy=Otherwise(vault.policy._bundle, alarm=alarms.append))
    for context in (desk, as_a("dpo", desk), as_a("customer", desk, subject_id=person)):
        with pytest.raises(Unreadable) as refusal:
            explain(other, context, decision_id)
        assert refusal.value.code == "decision-differs"
    assert alarms == ["decision-differs"] * 3
    assert ledger.outcomes("explain") == ["done", "failed"] * 3


def test_a_bundle_that_is_not_kept_is_said_to_those_who_may_know(vault: Vault, desk: Context, person: str, ledger: Ledger) -> None:
    decision_id = about(vault, desk, person)

    class Next(Policy):
        """A bundle activated since."""

        @property
        def digest(self) -> str:
            return "sha256:" + "1" * 64

    gone = f"DELETE FROM vault.policy_bundle WHERE controller_id = '{desk.controller_id}'"
    ledger.owner(f"SET session_replication_role = replica; {gone}")
    later = replace(vault, policy=Next(vault.policy._bundle))
    with pytest.raises(Conflict) as refusal:
        explain(later, desk, decision_id)
    assert refusal.value.code == "bundle-not-kept"
    with pytest.raises(NotFound):
        explain(later, as_a("operator", desk), decision_id)
    assert bundle_of(vault, desk.controller_id, vault.policy.digest) is vault.policy


def test_spoilt_or_destroyed_details_explain_nothing(vault: Vault, desk: Context, person: str, ledger: Ledger) -> None:
    spoilt, gone = about(vault, desk, person), about(vault, desk, person)
    explain(vault, desk, spoilt)
    for decision_id, now, error in ((spoilt, "substr(sealed, 2)", Unreadable), (gone, "NULL", Erased)):
        entry_id = "ent_" + decision_id[4:]
        explain(vault, desk, decision_id)
        ledger.owner("ALTER TABLE vault.audit_detail DISABLE TRIGGER USER")
        ledger.owner(f"UPDATE vault.audit_detail SET sealed = {now} WHERE entry_id = '{entry_id}'")
        with pytest.raises(error):
            explain(vault, desk, decision_id)


def test_what_still_waits_for_its_position_is_waited_for_and_not_for_ever(
    vault: Vault, desk: Context, person: str, ledger: Ledger
) -> None:
    ledger.opened.trail.settle(desk.controller_id)
    with psycopg.connect(ledger.opened.addresses.url) as owner:  # the sequencer waits for the head of the log
        owner.execute("SELECT 1 FROM vault.audit_head WHERE controller_id = %s FOR UPDATE", (desk.controller_id,))
        decision_id = about(vault, desk, person)
        with pytest.raises(AuditUnavailable) as refusal:
            explain(vault, desk, decision_id)
        assert (refusal.value.code, refusal.value.retry_after_s) == ("entry-pending", 1)
    ledger.opened.trail.settle(desk.controller_id)
    assert explain(vault, desk, decision_id).document["reader"] == "desk"
    ledger.opened.trail.settle(desk.controller_id)
    with pytest.raises(NotFound) as unknown:
        explain_in_house(vault, desk.controller_id, "dec_" + "b" * 26)
    assert unknown.value.code == "decision-not-found"


def test_a_decision_the_engine_could_not_take_is_told_as_such(vault: Vault, desk: Context, person: str) -> None:
    """Nothing of it was kept but that it failed: there is nothing to take again."""
    failing = Policy(vault.policy._bundle)
    failing._stopped = True
    with pytest.raises(NotFound) as refusal:
        disclose(replace(vault, policy=failing), Ask(desk, person, FIELDS))
    told = explain(vault, desk, refusal.value.decision_id or "").document
    assert (told["outcome"], told["because"]) == ("refused", "policy-error")
    assert "fields" not in told
