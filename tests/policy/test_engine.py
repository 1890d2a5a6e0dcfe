"""Policy as it runs: errors refuse, differences stop it, and no answer rests on what no agreement makes lawful."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import sha256
from itertools import count
from pathlib import Path
from threading import Barrier, Thread
from time import process_time
from typing import Any

import cedarpy
import pytest

from tests.policy import matrix
from tests.policy.changes import FIELDS
from tests.policy.makers import agreed, altered, bundle, candidate, policy, relock, shipped_text, situation
from vault.errors import ContextIncomplete
from vault.policy.bundle import load_bundle
from vault.policy.cedar import CedarEngine, compiled
from vault.policy.engine import VERBS, Policy
from vault.policy.inputs import view_key
from vault.policy.model import CallerFacts, Decision, TicketFacts
from vault.policy.rows import Verdict
from vault.policy.situations import Situation

ASKED = ("given_name", "email", "iban", "health_note")


class Alarms(list[str]):
    """What was told, in order."""

    def __call__(self, code: str) -> None:
        self.append(code)


class Scripted:
    """The real engine, whose verdicts pass through a function of (number since the start, verdict)."""

    def __init__(self, change: Callable[[int, Verdict], Verdict]) -> None:
        self._engine = candidate().engine
        self.change, self.number = change, count()

    def evaluate(self, entities: Sequence[Any], requests: Sequence[Any]) -> list[Verdict]:
        return [self.change(next(self.number), one) for one in self._engine.evaluate(entities, requests)]


def unchanged(_: int, verdict: Verdict) -> Verdict:
    return verdict


def fails_at(place: int) -> Callable[[int, Verdict], Verdict]:
    return lambda number, verdict: verdict._replace(failed=number == place)


# --- errors


def evaluations() -> int:
    engine = Scripted(unchanged)
    situation("t1").decided(Policy(bundle(), engine), *ASKED)
    return next(engine.number)


@pytest.mark.parametrize("place", range(evaluations()))
def test_one_erring_evaluation_refuses_the_whole_request(place: int) -> None:
    """Each place of both gates: nothing is shown, somebody is told, and the next request is answered as ever."""
    alarms, engine = Alarms(), Scripted(fails_at(place))
    deciding = Policy(bundle(), engine, alarms)
    refused = situation("t1").decided(deciding, *ASKED)
    assert {(one.level, one.because) for one in refused.fields.values()} == {("withheld", "policy-error")}
    assert (refused.failed, refused.hidden, refused.opened(), alarms) == (True, True, {}, ["policy-error"])
    engine.change = unchanged
    assert situation("t1").decided(deciding, *ASKED) == situation("t1").decided(policy(), *ASKED)


OVERFLOW = compiled(
    '@id("deny-overflow") @reason("role") forbid (principal, action in Vault::Action::"touch_any", resource) '
    "when { 9223372036854775807 + resource.sensitivity > 0 };"
)


def test_a_forbid_that_overflows_refuses_though_cedar_would_allow() -> None:
    altered = {**bundle().policies, **OVERFLOW}
    refused = situation("t1").decided(Policy(replace(bundle(), policies=altered)), *ASKED)
    assert refused.failed
    assert cedar_says({"act": "profile"}, altered).decision is cedarpy.Decision.Allow  # the trap: an erring forbid is skipped


def cedar_says(context: dict[str, Any], policies: dict[str, Any]) -> cedarpy.AuthzResult:
    policy_set = cedarpy.PolicySet.from_json_str(
        '{"staticPolicies":{"x":{"effect":"permit","principal":{"op":"All"},"action":{"op":"All"},"resource":{"op":"All"},'
        '"conditions":[]}},"templates":{},"templateLinks":[]}'
    ).with_added_str(cedarpy.policies_from_json_str(_as_text(policies["deny-overflow"])))
    entities = '[{"uid":{"type":"Vault::Field","id":"x"},"attrs":{"sensitivity":1},"parents":[]}]'
    request = {
        "principal": {"type": "Vault::Agent", "id": "caller"},
        "action": {"type": "Vault::Action", "id": "touch_any"},
        "resource": {"type": "Vault::Field", "id": "x"},
        "context": context,
    }
    return cedarpy.is_authorized(request, policy_set, entities)


def _as_text(policy_json: dict[str, Any]) -> str:
    return json.dumps({"staticPolicies": {"deny-overflow": policy_json}, "templates": {}, "templateLinks": []})


ERRS = {  # what makes an evaluation err: one field's, in gate 1 and in gate 2
    "overflow": ("9223372036854775807 + context.field.sensitivity > 0", "9223372036854775807 + resource.sensitivity > 0"),
    "missing attribute": ("resource.nothing > 0", "context.breakGlass.approved"),
}


@pytest.mark.parametrize("how", ERRS)
@pytest.mark.parametrize("gate", [1, 2])
def test_an_error_on_one_field_shows_nothing_and_alarms(gate: int, how: str) -> None:
    """By Cedar itself: it skips the erring forbid and would show the rest."""
    scope, field = (('action == Vault::Action::"process"', "context.field"), ('action in Vault::Action::"view_any"', "resource"))[
        gate - 1
    ]
    for name in FIELDS[::6]:
        condition = f'{field} == Vault::Field::"{name}" && {ERRS[how][gate - 1]}'
        erring = compiled(f'@id("erring") @reason("role") forbid (principal, {scope}, resource) when {{ {condition} }};')
        alarms = Alarms()
        deciding = Policy(replace(bundle(), policies={**bundle().policies, **erring}), alarm=alarms)
        assert situation("t1").decided(deciding, "given_name", "preferred_language").failed, name
        assert alarms == ["policy-error"]


class Broken(CedarEngine):
    """Cedar, with one request mistyped (Cedar answers with its third value, NoDecision), or one call that raises."""

    def __init__(self, mistyped: int = -1, raising: int = -1) -> None:
        super().__init__(bundle().policies, bundle().lexicon, bundle().schema)
        self._mistyped, self._raising, self.requests, self.calls = mistyped, raising, 0, 0

    def _some(self, requests: list[dict[str, Any]], graph: cedarpy.Entities) -> list[Verdict]:
        place, self.requests = self._mistyped - self.requests, self.requests + len(requests)
        number, self.calls = self.calls, self.calls + 1
        if number == self._raising:
            raise RuntimeError
        return super()._some([{**one, "context": {"purpose": 1}} if n == place else one for n, one in enumerate(requests)], graph)


def test_no_decision_shows_nothing_and_alarms() -> None:
    """In both gates; that no place is forgotten is shown above, with the verdict Cedar's answer becomes."""
    for place in range(0, evaluations(), 6):
        alarms = Alarms()
        decision = situation("t1").decided(Policy(bundle(), Broken(mistyped=place), alarms), *ASKED)
        assert (decision.failed, decision.opened(), alarms) == (True, {}, ["policy-error"]), place


def test_an_engine_that_raises_shows_nothing_and_alarms() -> None:
    whole = Broken()
    assert not situation("t1").decided(Policy(bundle(), whole), *ASKED).failed
    for call in range(whole.calls):
        alarms = Alarms()
        decision = situation("t1").decided(Policy(bundle(), Broken(raising=call), alarms), *ASKED)
        assert (decision.failed, decision.opened(), alarms) == (True, {}, ["policy-error"]), call


@pytest.mark.parametrize(
    ("entities", "context"),
    [
        ([], {"purpose": "customer-care"}),  # Cedar's third value: NoDecision
        ([{"uid": {"type": "Vault::Agent", "id": "caller"}, "attrs": {}, "parents": []}], {}),  # misses an attribute
        (["no entity"], {}),
    ],
)
def test_what_cedar_cannot_evaluate_is_a_failed_verdict(entities: list[Any], context: dict[str, Any]) -> None:
    engine = CedarEngine(bundle().policies, bundle().lexicon, bundle().schema)
    request = {
        "principal": {"type": "Vault::Agent", "id": "caller"},
        "action": {"type": "Vault::Action", "id": "view_clear"},
        "resource": {"type": "Vault::Field", "id": "email"},
        "context": context,
    }
    assert [one.failed for one in engine.evaluate(entities, [request, request])] == [True, True]


def test_a_template_or_recipient_the_bundle_does_not_know_refuses() -> None:
    alarms = Alarms()
    deciding = Policy(bundle(), alarm=alarms)
    unknown = agreed("retail@1")._replace(template="retail@99")
    assert situation("t1").about(agreements=(unknown,)).decided(deciding, "email").failed
    assert situation("t1").called_by(recipient="nobody").decided(deciding, "email").failed
    assert alarms == ["policy-error", "policy-error"]


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [({"purpose": "customer-caer"}, "Vault-Purpose"), ({"channel": "pohne"}, "Vault-Channel")],
)
def test_words_of_no_closed_list_are_told_by_their_header(changes: dict[str, Any], pointer: str) -> None:
    with pytest.raises(ContextIncomplete) as refusal:
        situation("t1").within(**changes).decided(policy(), "email")
    assert [one.pointer for one in refusal.value.faults] == [pointer]


def test_an_unknown_field_is_refused_and_not_repeated() -> None:
    with pytest.raises(ContextIncomplete) as refusal:
        situation("t1").decided(policy(), "email", "cvv")
    assert [(one.pointer, one.code) for one in refusal.value.faults] == [("fields", "unknown")]


# --- an engine that says yes to everything


class YesEngine:
    """The policy engine replaced by one that always says yes."""

    def evaluate(self, _: Sequence[Any], requests: Sequence[Any]) -> list[Verdict]:
        return [Verdict(allowed=True, by=("gate1-covers",))] * len(requests)


def test_an_engine_that_allows_everything_opens_through_the_ended_agreement_only() -> None:
    ended = agreed("marketing@1")._replace(agreement_id="agr_ended", consent="withdrawn", phase="after")
    decision = situation("t1").about(agreements=(ended,)).decided(Policy(bundle(), YesEngine()), *ASKED)
    assert decision.opened() == dict.fromkeys(ASKED, "agr_ended")  # whose wraps are gone


def test_an_engine_that_allows_everything_shows_nothing_without_an_agreement() -> None:
    decision = situation("t1").about(agreements=()).decided(Policy(bundle(), YesEngine()), *ASKED)
    assert {(one.level, one.because) for one in decision.fields.values()} == {("withheld", "no-agreement")}


def test_what_gate_one_refuses_stays_withheld_whatever_gate_two_says() -> None:
    engine = Scripted(lambda number, verdict: verdict if number < 14 else Verdict(allowed=True, by=("t1-identity",)))
    decision = situation("t1").decided(Policy(bundle(), engine), "given_name", "health_note", "related_person")
    assert [one.level for one in decision.fields.values()] == ["clear", "withheld", "withheld"]


# --- recheck


def test_a_recheck_that_finds_no_difference_changes_nothing() -> None:
    alarms = Alarms()
    deciding = Policy(bundle(), alarm=alarms)
    assert deciding.recheck(0.0)
    before = situation("t1").decided(deciding, *ASKED)
    assert deciding.recheck(10.0)
    assert situation("t1").decided(deciding, *ASKED) == before
    assert alarms == []


def test_rows_are_rechecked_once_a_second_at_most() -> None:
    engine = Scripted(unchanged)
    deciding = Policy(bundle(), engine)
    seen = []
    for at in (5.0, 5.9, 6.0):
        situation("t1").decided(deciding, *ASKED)
        before = next(engine.number)
        deciding.recheck(at)
        seen.append(next(engine.number) - before > 1)
    assert seen == [True, False, True]


def test_rows_are_rechecked_in_turn() -> None:
    deciding = Policy(bundle())
    situation("t1").decided(deciding, *ASKED)
    key, row = next(iter(deciding._laws._rows.items()))
    deciding._laws.put(key, replace(row, bits=0))
    situation("t1").decided(deciding, *ASKED)
    assert deciding.recheck(1.0)  # the row of gate 2
    situation("t1").decided(deciding, *ASKED)
    assert not deciding.recheck(2.0)


def turned_round(_: int, one: Verdict) -> Verdict:
    return Verdict(allowed=False, by=("gate1-special",)) if one.allowed else Verdict(allowed=True, by=("gate1-covers",))


@pytest.mark.parametrize("change", [turned_round, fails_at(0)])
def test_a_difference_empties_the_tables_and_withholds_from_then_on(change: Callable[[int, Verdict], Verdict]) -> None:
    alarms, engine = Alarms(), Scripted(unchanged)
    deciding = Policy(bundle(), engine, alarms)
    assert situation("t1").decided(deciding, *ASKED).opened()
    engine.change, engine.number = change, count()
    assert not deciding.recheck(1.0)
    assert alarms == ["policy-difference"]
    assert (len(deciding._laws), len(deciding._views), len(deciding._plates)) == (0, 0, 0)
    engine.change = unchanged
    assert situation("t1").decided(deciding, *ASKED).failed
    assert not deciding.recheck(99.0)
    assert permission("enroll", "system", deciding) == (False, "policy-error")


def test_a_row_that_was_changed_in_memory_is_found_out() -> None:
    deciding = Policy(bundle())
    situation("t1").decided(deciding, *ASKED)
    key, row = next(iter(deciding._views._rows.items()))
    deciding._views.put(key, replace(row, cells=tuple(reversed(row.cells))))
    situation("t1").decided(deciding, *ASKED)
    assert not deciding.recheck(1.0)


# --- flight


def test_threads_that_miss_the_same_row_work_it_out_once() -> None:
    engine, start = Scripted(unchanged), Barrier(4)
    deciding = Policy(bundle(), engine)
    answers: list[Decision] = []

    def ask() -> None:
        start.wait()
        answers.append(situation("t1").decided(deciding, *ASKED))

    threads = [Thread(target=ask) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert next(engine.number) == evaluations()
    assert all(one == answers[0] for one in answers)


# --- what a bundle says of itself


def test_default_fields_are_the_cells_that_show_something() -> None:
    table = matrix.document()
    for number, name in enumerate(table["columns"]):
        cells = {field for field, cells in table["cells"].items() if cells[number] not in ("-", "V")}
        assert set(policy().default_fields(frozenset(table["contexts"][name]["roles"]))) == cells


def test_default_fields_of_several_roles_are_a_union_in_the_order_of_the_catalogue() -> None:
    both = policy().default_fields({"t1", "billing"})
    assert set(both) == {*policy().default_fields({"t1"}), *policy().default_fields({"billing"})}
    assert list(both) == [name for name in FIELDS if name in both]
    assert policy().default_fields(()) == ()


def test_default_fields_of_an_erring_engine_are_none_and_are_asked_again() -> None:
    alarms, engine = Alarms(), Scripted(fails_at(0))
    deciding = Policy(bundle(), engine, alarms)
    assert deciding.default_fields({"t1"}) == ()
    assert alarms == ["policy-error"]
    assert deciding.default_fields({"t1"}) == policy().default_fields({"t1", "stranger"})


def test_a_hit_costs_a_hundredth_of_a_miss_at_most() -> None:
    deciding, made = Policy(bundle()), situation("t1", ["retail@1", "marketing@1"])
    begun = process_time()
    made.decided(deciding, *FIELDS[:12])
    miss = process_time() - begun
    begun = process_time()
    for _ in range(500):
        made.decided(deciding, *FIELDS[:12])
    assert (process_time() - begun) / 500 < miss / 100


@pytest.mark.parametrize(
    ("reference", "classes"),
    [
        ("retail@1", ("attachment", "contact", "financial")),
        ("health-insurance@1", ("attachment", "contact", "financial", "special")),
        ("marketing@1", ("contact",)),
        ("legal-obligation@1", ("attachment", "contact", "financial")),
        ("legal-claims@1", ("attachment", "contact", "financial", "special")),
        ("emergency@1", ("contact", "special")),
    ],
)
def test_an_agreement_holds_the_keys_of_the_classes_it_reaches(reference: str, classes: tuple[str, ...]) -> None:
    assert policy().held_classes(reference) == classes


def test_a_contract_without_condition_never_holds_the_key_to_health_data() -> None:
    granted = policy().granted_fields("retail@1")
    assert not {name for name, one in bundle().catalogue["fields"].items() if one["special"]} & granted
    assert not {"credit_score", "aml_note"} & granted
    assert {
        "tax_code",
        "vat_number",
        "identity_document",
        "passport",
        "card",
        "annual_income",
        "policy_number",
        "contract_number",
    } <= granted


def test_a_category_of_health_grants_nothing_without_a_condition(tmp_path: Path) -> None:
    template = "agreements/retail.v1.yaml"
    text = shipped_text(template).replace("  - pd:Language\n", "  - pd:Language\n  - pd:MedicalHealth\n")
    directory = altered(tmp_path, {template: text})
    relock(directory)
    deciding = Policy(load_bundle(directory))
    assert "health_note" in load_bundle(directory).lexicon.terms["retail@1"].named
    assert deciding.held_classes("retail@1") == ("attachment", "contact", "financial")


def test_special_data_are_granted_by_a_consent_only_if_it_is_explicit() -> None:
    claims = bundle().lexicon.terms["legal-claims@1"]
    assert claims.allows_special
    assert not replace(claims, basis="consent").allows_special
    assert replace(claims, basis="consent", condition="explicit_consent").allows_special


def test_a_policy_names_its_bundle_and_its_closed_lists() -> None:
    assert policy().digest == bundle().digest
    assert policy().fields == FIELDS
    assert "customer-care" in policy().purposes
    assert policy().recipients == {"controller", "helpdesk", "care-unit", "subject"}


# --- verbs


def permission(verb: str, start: str, deciding: Policy | None = None, *, is_self: bool = False, **context: Any) -> tuple[bool, str]:
    made = situation(start, context=context)
    found = (deciding or policy()).may(verb, made.context, made.caller, made.ticket, is_self=is_self)
    return found.allowed, found.because


REQUESTS = ("open_request", "show_request", "move_request")
TASKS = ("show_tasks", "answer_task")


@pytest.mark.parametrize(
    ("verb", "allowed"),
    [
        ("enroll", {"t2", "system", "system-marketing"}),
        ("agree", {"t1", "t2", "billing", "medical", "customer", "system", "system-marketing"}),
        ("narrow", {"t1", "t2", "billing", "medical", "customer", "dsr-officer", "system", "system-marketing"}),
        ("withdraw", {"t1", "t2", "billing", "medical", "customer", "dsr-officer", "system", "system-marketing"}),
        ("show_receipt", {"t1", "t2", "billing", "medical", "customer", "dsr-officer", "system", "system-marketing"}),
        ("show_agreements", {"t1", "t2", "billing", "medical", "customer", "dsr-officer", "system", "system-marketing"}),
        ("put_ticket", {"system", "system-marketing"}),
        ("register_caller", {"operator"}),
        ("break_glass", set()),
        ("approve_break_glass", set()),
        ("review_break_glass", {"dpo"}),
        ("restrict", {"dsr-officer"}),
        ("lift_restriction", {"dsr-officer"}),
        ("object", {"customer", "dsr-officer"}),
        ("object_to_marketing", {"t1", "t2", "billing", "medical", "customer", "dsr-officer", "system", "system-marketing"}),
        ("withdraw_objection", {"customer", "dsr-officer"}),
        ("overrule_objection", set()),
        ("obscure", {"customer", "dsr-officer"}),
        ("lift_obscuring", {"customer", "dsr-officer"}),
        ("record_death", {"dsr-officer"}),
        ("show_accesses", {"customer", "dsr-officer"}),
        ("export_subject", {"customer", "dsr-officer"}),
        ("show_export", {"customer", "dsr-officer"}),
        ("download_export", {"customer"}),
        ("review-search", set()),
        ("review-open", set()),
        ("review-note", set()),
        ("review-filter", set()),
        ("log-export", set()),
        ("ask_unmask", set()),
        ("approve_unmask", set()),
        ("unmask", set()),
        ("open_breach", set()),
        ("advance_breach", set()),
        ("show_breach", set()),
        ("show_affected", set()),
        *((one, {"t1", "t2", "billing", "medical", "dsr-officer", "customer"}) for one in REQUESTS),
        ("hold", set()),
        ("show_recipients", {"dsr-officer"}),
        *((one, {"dsr-officer"}) for one in TASKS),
        ("show_retention", {"dsr-officer"}),
        ("rectify", {"dsr-officer", "customer"}),
        ("forbid_after_death", {"dsr-officer", "customer"}),
        ("tell_contact", {"dsr-officer"}),
        ("show_certificate", {"dsr-officer"}),
        ("approve_retention", set()),
        ("show_processing", {"dsr-officer"}),
        ("serve_notice", {"t1", "t2", "billing", "medical", "customer", "system", "system-marketing"}),
        ("show_served_notices", {"t1", "t2", "billing", "medical", "customer", "dsr-officer", "system", "system-marketing"}),
        ("show_sources", set()),
        ("find", {"t1", "t2", "billing", "medical", "dsr-officer", "system"}),
        ("verify", {"t1", "t2", "billing", "medical"}),
        ("reveal", {"t1", "t2", "billing", "medical"}),
        ("amend", {"t1", "t2", "billing", "medical", "dsr-officer", "customer", "system", "system-marketing"}),
    ],
)
def test_who_may_use_a_verb(verb: str, allowed: set[str]) -> None:
    contexts = bundle().matrix["contexts"]
    assert {name for name in contexts if permission(verb, name, is_self=name == "customer")[0]} == allowed


def test_a_customer_acts_for_themselves_only() -> None:
    assert permission("withdraw", "customer", is_self=True) == (True, "rights-own-data")
    assert permission("withdraw", "customer") == (False, "role")


@pytest.mark.parametrize(
    ("verb", "level"),
    [
        ("object", 2),
        ("withdraw_objection", 2),
        ("show_accesses", 2),
        ("export_subject", 2),
        ("show_export", 2),
        ("download_export", 2),
        ("obscure", 3),
        ("lift_obscuring", 3),
        ("object_to_marketing", 0),
    ],
)
def test_a_state_is_set_by_who_proved_enough(verb: str, level: int) -> None:
    assert permission(verb, "customer", is_self=True, level=level) == (True, "rights-own-data")
    if level:
        assert permission(verb, "customer", is_self=True, level=level - 1) == (False, "level-needed")


@pytest.mark.parametrize("purpose", ["rights-fulfilment", "legal-compliance"])
def test_the_officer_reads_receipts_for_rights_and_compliance(purpose: str) -> None:
    assert permission("show_receipt", "dpo", purpose=purpose) == (True, "verb-receipts")
    assert not permission("agree", "dpo", purpose=purpose)[0]
    assert not permission("withdraw", "dpo", purpose=purpose)[0]
    assert not permission("show_receipt", "operator", purpose=purpose)[0]


def test_the_officer_reads_no_receipt_for_another_purpose() -> None:
    assert not permission("show_receipt", "dpo", purpose="marketing")[0]


@pytest.mark.parametrize(
    ("verb", "purposes"),
    [
        ("restrict", {"rights-fulfilment", "legal-compliance"}),
        ("lift_restriction", {"rights-fulfilment", "legal-compliance"}),
        ("overrule_objection", {"rights-fulfilment"}),
        ("record_death", {"rights-fulfilment"}),
        ("show_accesses", {"rights-fulfilment"}),
        ("open_breach", {"legal-compliance"}),
        ("advance_breach", {"legal-compliance"}),
        ("show_breach", {"legal-compliance"}),
        ("show_affected", {"legal-compliance"}),
        *((one, {"rights-fulfilment"}) for one in REQUESTS),
        ("hold", {"rights-fulfilment", "legal-compliance"}),
        ("show_recipients", {"rights-fulfilment", "legal-compliance"}),
        *((one, {"rights-fulfilment", "legal-compliance"}) for one in TASKS),
        ("show_retention", {"rights-fulfilment", "legal-compliance"}),
        ("rectify", {"rights-fulfilment"}),
        ("forbid_after_death", {"rights-fulfilment"}),
        ("tell_contact", {"rights-fulfilment"}),
        ("show_certificate", {"rights-fulfilment", "legal-compliance"}),
        ("approve_retention", {"legal-compliance"}),
        ("show_processing", {"rights-fulfilment", "legal-compliance"}),
        ("object", set()),
        ("object_to_marketing", set()),
        ("withdraw_objection", set()),
        ("obscure", set()),
        ("lift_obscuring", set()),
    ],
)
def test_the_officer_sets_states_and_handles_breaches_for_a_purpose_of_theirs(verb: str, purposes: set[str]) -> None:
    stated = ("rights-fulfilment", "legal-compliance", "customer-care", "marketing")
    assert {purpose for purpose in stated if permission(verb, "dpo", purpose=purpose)[0]} == purposes


@pytest.mark.parametrize("verb", ["review-search", "review-open", "review-note", "review-filter", "log-export"])
def test_the_officer_reads_the_log_for_data_protection_and_security_alone(verb: str) -> None:
    assert permission(verb, "dpo", purpose="legal-compliance") == (True, "verb-review")
    allowed = {purpose for purpose in policy().purposes if permission(verb, "dpo", purpose=purpose)[0]}
    assert allowed == {"rights-fulfilment", "legal-compliance", "fraud-prevention"}
    assert not permission(verb, "operator", purpose="legal-compliance")[0]


def test_a_verb_without_its_ticket_says_what_is_missing() -> None:
    assert permission("withdraw", "t1", ticket="none") == (False, "ticket-needed")
    assert permission("amend", "t2", assigned=False) == (False, "ticket-not-yours")
    assert permission("amend", "t2", ticket="asserted") == (False, "role")
    assert permission("find", "t1", ticket="none") == (False, "ticket-needed")


def test_a_verb_of_no_list_is_an_error() -> None:
    with pytest.raises(ValueError, match="no such verb"):
        permission("vanish", "dpo")


@pytest.mark.parametrize("verb", [*VERBS, "find", "amend", "verify", "reveal"])
def test_an_erring_engine_allows_no_verb(verb: str) -> None:
    alarms = Alarms()
    assert permission(verb, "system", Policy(bundle(), Scripted(lambda _, one: one._replace(failed=True)), alarms)) == (
        False,
        "policy-error",
    )
    assert alarms == ["policy-error"]


def test_who_may_amend_what() -> None:
    made = replace(situation("t2"), act="amend")
    fields = made.decided(policy(), "email", "iban", "health_note").fields
    assert [(one.level, one.because) for one in fields.values()] == [
        ("clear", "amend-desk"),
        ("withheld", "role"),
        ("withheld", "special-category"),
    ]
    assert made.decided(policy(), "email").opened() == {"email": "agr_0"}


def test_who_may_check_what() -> None:
    made = replace(situation("t1"), act="verify")
    fields = made.decided(policy(), "email", "verification_phrase", "tax_code").fields
    assert [(one.level, one.because) for one in fields.values()] == [
        ("clear", "verify-desk"),
        ("clear", "verify-desk"),
        ("withheld", "role"),
    ]
    weak = replace(situation("t1", context={"ticket": "asserted"}), act="verify").decided(policy(), "email")
    assert (weak.fields["email"].because, weak.hidden) == ("ticket-not-verified", True)
    uncovered = replace(situation("t1", ["marketing@1"]), act="verify").decided(policy(), "date_of_birth")
    assert uncovered.fields["date_of_birth"].level == "withheld"


def test_a_look_up_is_by_searchable_fields_and_about_nobody() -> None:
    made = replace(situation("t1", []), act="find")
    decision = made.decided(policy(), "email", "given_name")
    assert {name: (one.level, one.because) for name, one in decision.fields.items()} == {
        "email": ("clear", "find-desk"),
        "given_name": ("withheld", "role"),
    }
    assert decision.agreement_of("email") is None
    assert not decision.hidden
    assert decision.record["gate1"] == []


def test_without_a_ticket_nobody_looks_up() -> None:
    decision = replace(situation("t1", [], {"ticket": "none"}), act="find").decided(policy(), "email")
    assert decision.fields["email"].because == "ticket-needed"
    assert decision.hidden


# --- rungs that open later: break-glass


def shown_with(grant: str, start: str, field: str, **context: Any) -> str:
    made: Situation = situation(start, ["health-insurance@1"], context)
    key = view_key(made.context, "profile", made.caller, made.ticket, made.subject, bundle().lexicon.everything, 0)
    row = policy()._view(key._replace(break_glass=grant))
    return row.cells[FIELDS.index(field)].shown.because


def test_a_grant_without_approval_opens_nothing_critical() -> None:
    assert shown_with("open", "t1", "card") == "never-clear"
    assert shown_with("open", "t2", "tax_code") == "break-glass-approval"
    assert shown_with("open", "t2", "email") == "support-t2-contact"
    assert shown_with("approved", "t2", "tax_code") == "support-t2-financial"


def test_an_approved_grant_lifts_the_ticket_but_not_the_channel() -> None:
    assert shown_with("none", "billing", "address", ticket="asserted") == "billing-identity"
    assert shown_with("approved", "t1", "health_note") == "role"
    assert shown_with("none", "t1", "health_note") == "special-category"


def test_facts_default_to_nobody() -> None:
    assert CallerFacts().roles == frozenset()
    assert TicketFacts().state == "none"


def test_what_an_export_says_of_the_bundle() -> None:
    policy = Policy(bundle())
    assert set(policy.parties) == policy.recipients
    assert policy.catalogue_digest == f"sha256:{sha256(bundle().files['catalogue.yaml']).hexdigest()}"
