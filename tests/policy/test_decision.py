"""Which reason is told, which agreement decides, and what a decision leaves on record."""

from dataclasses import replace
from typing import Any

import orjson
import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.policy.changes import CHANGES, FIELDS
from tests.policy.makers import agreed, altered, bundle, policy, relock, seeded, shipped_text, situation
from vault.policy.bundle import load_bundle
from vault.policy.decision import BASES, REFUSALS, best_refusal, what_is_missing
from vault.policy.engine import Policy
from vault.policy.inputs import is_self, may_know, ticket_refusal, view_key
from vault.policy.lexicon import closure
from vault.policy.model import Decision, FieldDecision, PartyTerms
from vault.policy.recorded import spelt_out
from vault.policy.rows import Note
from vault.policy.situations import Situation


def why(made: Situation, field: str = "email", by: Policy | None = None) -> str:
    one = made.decided(by or policy(), field).fields[field]
    assert one.level == "withheld"
    return one.because


# --- reasons

# Everything that can speak against one marketing read, the first to be told first.
AGAINST: tuple[tuple[str, dict[str, Any], dict[str, Any]], ...] = (
    ("restricted", {}, {"restricted": frozenset({"email"})}),
    ("objected", {}, {"objected_marketing": True}),
    ("consent-withdrawn", {"consent": "withdrawn"}, {}),
    ("field-excluded", {"excluded": frozenset({"email"})}, {}),
    ("collected-for-other-consent", {"foreign": frozenset({"email"})}, {}),
    ("minor", {}, {"minor": "14-17"}),
)


@pytest.mark.parametrize("first", range(len(AGAINST)))
def test_of_several_reasons_the_first_of_the_list_is_told(first: int) -> None:
    agreement = agreed("marketing@1")
    about: dict[str, Any] = {}
    for _, of_agreement, of_person in AGAINST[first:]:
        agreement = agreement._replace(**of_agreement)
        about |= of_person
    assert why(situation("system-marketing").about(agreements=(agreement,), **about)) == AGAINST[first][0]


def test_every_forbid_of_gate_one_comes_before_what_nobody_agreed() -> None:
    excluded = agreed({"template": "retail@1", "excluded": ["email"], "phase": "after"})
    assert why(situation("t1").about(agreements=(excluded,))) == "field-excluded"
    assert why(situation("t1", context={"purpose": "marketing"}).about(agreements=(excluded,))) == "field-excluded"


def test_a_lawful_field_is_refused_by_gate_two_alone() -> None:
    assert why(situation("t1"), "gender") == "role"
    assert why(situation("t1", ["health-insurance@1"]), "health_note") == "special-category"
    assert why(situation("t1"), "card") == "never-clear"


def test_the_agreement_that_comes_closest_speaks() -> None:
    withdrawn = {"template": "marketing@1", "consent": "withdrawn"}
    assert why(situation("t1", ["retail@1", withdrawn]), "health_note") == "special-category"
    assert why(situation("t1", ["retail@1", withdrawn]), "related_person") == "no-agreement"
    assert why(situation("system-marketing", ["retail@1", withdrawn])) == "consent-withdrawn"
    assert why(situation("system-marketing", ["retail@1", "marketing@1"]), "iban") == "purpose-not-agreed"
    assert why(situation("t1", [{"template": "retail@1", "phase": "after"}, withdrawn])) == "agreement-expired"


def test_a_recipient_without_a_processing_agreement_gets_nothing(tmp_path: Any) -> None:
    text = shipped_text("recipients.yaml").replace("contract: valid", "contract: none", 1)
    deciding = Policy(load_bundle(altered(tmp_path, {"recipients.yaml": text})))
    assert why(situation("t1"), by=deciding) == "no-processing-agreement"
    assert situation("customer").decided(deciding, "email").fields["email"].level == "clear"


def test_what_the_register_of_recipients_says_counts_before_what_the_bundle_says() -> None:
    """Seen failing with the bundle's own terms evaluated: everybody got what the party gets."""
    made = situation("t1")
    own = PartyTerms("helpdesk", contract_valid=True, transfer_tool="none", country="FR")
    assert made.called_by(recipient="desk-one", terms=own).decided(policy(), "email").fields["email"].level == "masked"
    for terms, reason in (
        (own._replace(contract_valid=False), "no-processing-agreement"),
        (own._replace(country="US"), "no-transfer-tool"),
        (own._replace(country="US", transfer_tool="A46-2-c"), "no-transfer-tool"),  # the agreement does not name the country
        (own._replace(party="care-unit"), "no-agreement"),
    ):
        assert why(made.called_by(recipient="desk-one", terms=terms)) == reason
    customer = situation("customer").called_by(terms=own._replace(contract_valid=False, country="US"))
    assert customer.decided(policy(), "email").fields["email"].level == "clear"


def test_a_transfer_tool_lets_data_go_where_the_agreement_says(tmp_path: Any) -> None:
    abroad = {
        "recipients.yaml": shipped_text("recipients.yaml").replace("transfer_tool: none", "transfer_tool: A46-2-c"),
        "agreements/retail.v1.yaml": shipped_text("agreements/retail.v1.yaml").replace("regions: [EEA]", "regions: [EEA, CH]"),
    }
    directory = altered(tmp_path, abroad)
    relock(directory)
    deciding = Policy(load_bundle(directory))
    assert situation("t1", context={"region": "CH"}).decided(deciding, "given_name").fields["given_name"].level == "clear"
    assert why(situation("t1", context={"region": "UY"}), "given_name", deciding) == "no-transfer-tool"


def test_a_recipient_barred_from_health_data_gets_none(tmp_path: Any) -> None:
    text = shipped_text("recipients.yaml")
    barred = text[: text.index("care-unit")] + text[text.index("care-unit") :].replace(
        "barred_from_health: false", "barred_from_health: true", 1
    )
    deciding = Policy(load_bundle(altered(tmp_path, {"recipients.yaml": barred})))
    made = situation("medical", ["health-insurance@1"])
    assert why(made, "health_note", deciding) == "special-category"
    assert made.decided(deciding, "given_name").fields["given_name"].level == "clear"


@pytest.mark.parametrize(
    ("principal", "roles", "ticket", "assigned", "missing"),
    [
        ("agent", {"t1"}, "none", False, "ticket-needed"),
        ("agent", {"t1"}, "verified", False, "ticket-not-yours"),
        ("agent", {"t1"}, "verified", True, "role"),
        ("agent", {"t1"}, "asserted", False, "role"),
        ("agent", {"t1"}, "closed", False, "ticket-closed"),
        ("agent", {"t1"}, "of-another-person", False, "ticket-of-another-person"),
        ("agent", {"t1"}, "not-yours", False, "ticket-not-yours"),
        ("system", {"system"}, "closed", False, "role"),
        ("agent", set(), "none", False, "role"),
        ("system", {"system"}, "none", False, "role"),
        ("subject", {"customer"}, "none", False, "role"),
    ],
)
def test_what_a_refusal_without_forbid_says(principal: str, roles: set[str], ticket: Any, assigned: bool, missing: str) -> None:
    assert what_is_missing(principal, frozenset(roles), ticket, assigned=assigned) == missing


def test_the_best_of_no_forbids_is_none() -> None:
    assert best_refusal((), {}) is None
    assert best_refusal(("a", "b"), {"a": Note("role", ()), "b": Note("minor", ())}) == "minor"
    assert REFUSALS[-1] == "role"


# --- deciding agreements


def deciding_of(*agreements: Any, purpose: str = "customer-care") -> str | None:
    made = situation("t1", context={"purpose": purpose}).about(agreements=agreements)
    return made.decided(policy(), "given_name").agreement_of("given_name")


def test_the_latest_agreement_decides_then_the_lowest_id() -> None:
    held = [
        agreed("retail@1")._replace(agreement_id=name, valid_from_ms=at) for name, at in (("agr_c", 1), ("agr_b", 2), ("agr_a", 2))
    ]
    assert deciding_of(*held) == "agr_a"
    assert deciding_of(*held[:2]) == "agr_b"
    assert deciding_of(held[0]) == "agr_c"


def test_an_exact_purpose_decides_before_a_narrower_one_and_contract_before_consent(tmp_path: Any) -> None:
    consent = shipped_text("agreements/marketing.v1.yaml").replace("purposes: [marketing]", "purposes: [customer-care]")
    directory = altered(tmp_path, {"agreements/marketing.v1.yaml": consent})
    relock(directory)
    deciding = Policy(load_bundle(directory))
    retail = agreed("retail@1")._replace(agreement_id="agr_a", valid_from_ms=9)  # covers care as narrower than management
    exact = agreed("marketing@1")._replace(agreement_id="agr_b", valid_from_ms=1)
    made = situation("t1").about(agreements=(retail, exact))
    assert made.decided(deciding, "given_name").agreement_of("given_name") == "agr_b"
    both = situation("customer").about(agreements=(retail, exact))  # the person's rights are exact under each
    assert both.decided(deciding, "given_name").agreement_of("given_name") == "agr_a"
    assert BASES[0] == "contract"
    assert BASES[-1] == "consent"


def test_each_field_rests_on_an_agreement_that_covers_it() -> None:
    made = situation("customer", ["marketing@1", "retail@1", "health-insurance@1"])
    late = tuple(one._replace(valid_from_ms=9 - number) for number, one in enumerate(made.subject.agreements))
    found = made.about(agreements=late).decided(policy(), "email", "iban", "health_note").opened()
    assert found == {"email": "agr_1", "iban": "agr_1", "health_note": "agr_2"}


# --- who may know


def test_only_the_person_themselves_is_the_person() -> None:
    made = situation("customer")
    assert is_self(made.context, made.subject)
    for caller in (
        replace(made.context.caller, subject_id="sub_another"),
        replace(made.context.caller, subject_id=None),
        replace(made.context.caller, kind="agent"),
    ):
        assert not is_self(replace(made.context, caller=caller), made.subject)
    nobody = replace(made.context, caller=replace(made.context.caller, subject_id=""))
    assert not is_self(nobody, made.subject._replace(subject_id=""))


@pytest.mark.parametrize(
    ("start", "context", "known"),
    [
        ("t1", {}, True),
        ("t1", {"assigned": False}, False),
        ("t1", {"ticket": "closed"}, False),
        ("t1", {"ticket": "of-another-person"}, False),
        ("t1", {"ticket": "not-yours"}, False),
        ("t1", {"ticket": "asserted"}, False),
        ("t1", {"ticket": "none"}, False),
        ("t1", {"roles": []}, False),
        ("dpo", {}, False),
        ("operator", {}, False),
        ("dsr-officer", {"ticket": "none"}, True),
        ("dsr-officer", {"ticket": "none", "request": False}, False),
        ("customer", {}, True),
        ("system", {"ticket": "none"}, False),
    ],
)
def test_who_may_be_told_that_a_person_is_here(start: str, context: dict[str, Any], known: bool) -> None:
    made = situation(start, [], context)
    assert may_know(view_key(made.context, "profile", made.caller, made.ticket, made.subject, 0, 0)) is known
    assert made.decided(policy(), "email").hidden is not known


def test_who_broke_the_glass_on_a_colleague_s_ticket_was_told_already() -> None:
    made = situation("t2", [], {"roles": ["t2", "break-glass-eligible"], "assigned": False})
    assert made.decided(policy(), "email").hidden
    assert not made.with_ticket(break_glass="open").decided(policy(), "email").hidden


@pytest.mark.parametrize(
    ("start", "context", "told"),
    [
        ("t1", {}, None),
        ("t1", {"ticket": "none"}, None),
        ("t1", {"ticket": "asserted"}, None),
        ("t1", {"assigned": False}, "ticket-not-yours"),
        ("t1", {"ticket": "not-yours"}, "ticket-not-yours"),
        ("t2", {"ticket": "closed"}, "ticket-closed"),
        ("billing", {"ticket": "of-another-person"}, "ticket-of-another-person"),
        ("t1", {"ticket": "closed", "roles": []}, None),
        ("customer", {"ticket": "closed"}, None),
        ("system", {"ticket": "closed"}, None),
    ],
)
def test_what_is_told_of_a_ticket_does_not_rest_on_the_person(start: str, context: dict[str, Any], told: str | None) -> None:
    here, gone = situation(start, ["retail@1"], context), situation(start, [], context)
    assert [ticket_refusal(one.key(0)) for one in (here, gone)] == [told, told]
    decisions = [one.decided(policy(), "health_note") for one in (here, gone)]
    assert {one.told for one in decisions} == ({told} if decisions[0].hidden else {None})


def test_no_field_asked_for_is_no_right_shown() -> None:
    assert situation("dpo").decided(policy()).hidden
    assert not situation("t1").decided(policy()).hidden


# --- what is left on record


def test_the_record_says_enough_to_decide_again() -> None:
    made = situation(
        "t2", ["retail@1", {"template": "marketing@1", "consent": "withdrawn"}], {"region": "FR"}, {"restricted": ["iban"]}
    )
    decision = made.decided(policy(), "email", "iban", "gender")
    kept = decision.record
    assert kept["bundle"] == decision.bundle == bundle().digest
    assert kept["subject"] == made.subject.subject_id
    returned, deciding = spelt_out(bundle().lexicon, kept)
    assert returned == {"email": "masked:email_domain", "iban": "withheld:restricted", "gender": "withheld:role"}
    assert deciding == {"email": "agr_0"}
    stated = kept["input"]
    assert (stated["principal"], stated["roles"], stated["recipient"], stated["region"]) == ("agent", ["t2"], "helpdesk", "FR")
    assert (stated["act"], stated["purpose"], stated["operation"]) == ("profile", "customer-care", "consult")
    assert stated["ticket"] == {"state": "verified", "assigned": True}
    assert int(stated["restricted"], 16) == 1 << FIELDS.index("iban")
    first, second = kept["gate1"]
    assert (first["agreement"], first["template"], first["phase"]) == ("agr_0", "retail@1", "in")
    assert second["consent"] == "withdrawn"
    assert not {"consent", "excluded", "after_objection"} & first.keys()  # what is not so is not said
    assert "bits" not in second
    assert int(first["bits"], 16) == int(kept["lawful"], 16)
    assert kept["row"].startswith("sha256:")
    assert len(orjson.dumps(kept)) < 1_200
    assert rfc8785.dumps({**kept, "obligations": list(kept["obligations"])})


def test_the_record_of_a_person_without_agreements_is_of_this_request() -> None:
    made = situation("t1", [])
    for recipient in ("helpdesk", "controller", "care-unit"):
        assert made.called_by(recipient=recipient).decided(policy(), "email").record["input"]["recipient"] == recipient


def test_equal_situations_share_a_row_and_others_do_not() -> None:
    rows = {
        situation("t1").decided(policy(), "email").record["row"],
        situation("t1").about(subject_id="sub_another").decided(policy(), "iban").record["row"],
        situation("t2").decided(policy(), "email").record["row"],
    }
    assert len(rows) == 2


@settings(max_examples=60, deadline=None)
@given(number=st.integers(0, len(CHANGES) - 1), seed=st.integers(0, 10), start=st.sampled_from(("t2", "medical", "customer")))
def test_a_shown_field_rests_on_an_agreement_whose_bit_is_set(number: int, seed: int, start: str) -> None:
    made = CHANGES[number](situation(start, ["health-insurance@1"]), seeded(seed))
    decision = made.decided(policy(), *FIELDS)
    bits = {one["agreement"]: int(one.get("bits", "0"), 16) for one in decision.record["gate1"]}
    for place, name in enumerate(FIELDS):
        agreement_id = decision.agreement_of(name)
        if decision.fields[name].level != "withheld":
            assert agreement_id is not None
            assert bits[agreement_id] >> place & 1
        else:
            assert agreement_id is None


def test_only_clear_and_masked_fields_are_opened() -> None:
    fields = {
        "a": FieldDecision("clear", None, "agreed"),
        "b": FieldDecision("masked", "initial", "agreed"),
        "c": FieldDecision("token", None, "agreed"),
        "d": FieldDecision("withheld", None, "role"),
        "e": FieldDecision("clear", None, "find-desk"),
    }
    levels = {name: one.level for name, one in fields.items()}
    resting = {"agr_1": ("a", "c"), "agr_2": ("b",)}
    decision = Decision("sha256:0", fields, hidden=False, restricted=False, levels=levels, resting=resting)
    assert decision.opened() == {"a": "agr_1", "b": "agr_2"}
    assert dict(decision.record) == {}


def test_a_term_is_below_itself_and_everything_above() -> None:
    edges = {"a": ("b", "c"), "b": ("d",), "c": ("d",), "d": ()}
    assert closure("a", edges) == {"a", "b", "c", "d"}
    assert closure("d", edges) == {"d"}


def test_a_name_that_is_no_field_has_no_bit() -> None:
    lexicon = bundle().lexicon
    assert lexicon.mask(["email", "gone"]) == 1 << FIELDS.index("email")
    assert lexicon.mask(FIELDS) == lexicon.everything


# --- fields the person excluded


CONTACT_OF_MARKETING = sorted(policy().granted_fields("marketing@1"))


def decided_rights(*agreements: Any) -> Any:
    """Return what the person is shown of their own contact data."""
    return situation("customer").about(agreements=agreements).decided(policy(), "email", "given_name")


def test_what_the_person_excluded_is_still_shown_to_themselves() -> None:
    one = agreed({"template": "marketing@1", "excluded": ["email"]})
    assert decided_rights(one).opened() == dict.fromkeys(("email", "given_name"), one.agreement_id)


def test_nothing_rests_on_an_agreement_that_let_a_whole_class_go() -> None:
    """Its wrap is gone, so not even the person's own access may rest on it: it would open nothing, and fail."""
    whole = agreed({"template": "retail@1", "excluded": sorted(policy().granted_fields("retail@1"))}, 1)
    other = agreed("marketing@1", 2)
    shown = decided_rights(whole)
    assert {(one.level, one.because) for one in shown.fields.values()} == {("withheld", "field-excluded")}
    assert decided_rights(whole, other).opened() == dict.fromkeys(("email", "given_name"), other.agreement_id)
    almost = whole._replace(excluded=whole.excluded - {"phone"})
    assert decided_rights(almost, other).opened() == dict.fromkeys(("email", "given_name"), almost.agreement_id)


@pytest.mark.parametrize("left", [0, 1])
def test_a_class_is_held_while_one_of_its_fields_is_agreed(left: int) -> None:
    excluded = frozenset(CONTACT_OF_MARKETING[left:])
    assert policy().held_classes("marketing@1", excluded) == (("contact",) if left else ())
