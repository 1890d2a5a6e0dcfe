"""What a change of policies would show to whom: found, grouped, and refused until somebody says why."""

import copy
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.policy.makers import altered, bundle, candidate, shipped_text
from vault.policy.asking import moved
from vault.policy.bundle import Bundle, load_bundle
from vault.policy.cedar import compiled, world
from vault.policy.files import read_files
from vault.policy.grid import Grid
from vault.policy.lint import faults
from vault.policy.plan import ACCEPTED, Change, Plan, plan
from vault.policy.trial import Candidate, mutant

OLD = candidate()
PLACE: Mapping[str, Any] = {"templates": ("retail@1",), "recipients": ("helpdesk",)}  # one of gate 1, for those of gate 2
FOR_T1 = """@id("t1-call-back")
@reason("support-t1-contact")
@owner("support")
permit (principal is Vault::Agent in Vault::Role::"t1", action == Vault::Action::"view_clear", resource)
when { context.purpose == Vault::Purpose::"customer-care" && context has ticket && resource == Vault::Field::"mobile" };
"""


def small(*bundles: Bundle, **domains: Any) -> Grid:
    """Return the grid of these bundles with some domains cut: what it is to find is in the rest."""
    grid = Grid.of([(one.policies, one.lexicon) for one in (bundle(), *bundles)])
    return replace(grid, **{"acts": ("profile",), **domains})


def planned(new: Candidate, **domains: Any) -> Plan:
    return plan(OLD, new, small(new.bundle, **domains))


def with_policy(text: str) -> Bundle:
    return mutant(bundle(), {**bundle().policies, **compiled(text)})


def revised(tmp_path: Path, path: str, start: str, old: str, new: str) -> Path:
    """Return a bundle whose file says `new` where it said `old`, first thing after `start`."""
    head, entry = shipped_text(path).split(start, 1)
    return altered(tmp_path, {path: f"{head}{start}{entry.replace(old, new, 1)}"})


def both(text: str, directory: Path) -> tuple[Candidate, Candidate]:
    """Return the shipped bundle and the one of a directory, each with this policy."""
    old, new = (mutant(one, {**one.policies, **compiled(text)}) for one in (bundle(), load_bundle(directory)))
    return Candidate.of(old), Candidate.of(new)


def kinds(found: Plan) -> set[tuple[str, str]]:
    return {(one.kind, one.role) for one in found.changes}


def test_equal_bundles_differ_in_nothing() -> None:
    found = plan(OLD, Candidate.of(load_bundle()))
    assert found.changes == {}
    assert not found.widens
    assert not found.unaccepted


def test_an_added_permit_widens_for_its_role_alone() -> None:
    found = planned(Candidate.of(with_policy(FOR_T1)))
    assert found.changes == {Change("WIDENS", "t1", "customer-care", "pd:TelephoneNumber", "t1-call-back"): ("mobile",)}
    assert found.widens
    assert found.unaccepted == tuple(found.changes)


def test_a_permit_meant_for_t1_that_reaches_t2_by_inheritance_is_reported() -> None:
    """Roles do not inherit; if they did, this is what nobody would see in the text of the policy."""
    inheriting = copy.deepcopy(world(bundle().lexicon))
    for one in inheriting:
        if one["uid"] == {"type": "Vault::Role", "id": "t2"}:
            one["parents"] = [{"type": "Vault::Role", "id": "t1"}]
    new = Candidate.of(with_policy(FOR_T1), None, inheriting)
    assert moved(OLD, new).roles == {"t2"}
    found = planned(new, purposes=("customer-care",), channels=("front_office",), principals=(("agent", "t1"), ("agent", "t2")))
    assert ("WIDENS", "t2") in kinds(found)
    assert Change("WIDENS", "t2", "customer-care", "pd:TelephoneNumber", "t1-call-back") in found.unaccepted


def test_an_added_channel_literal_is_reported() -> None:
    """The grid takes its channels from both bundles: `portal` is named by neither the old policies nor a grid made by hand."""
    text = FOR_T1.replace("context has ticket", 'context.channel == "portal"')
    new = Candidate.of(with_policy(text))
    assert "portal" in small(new.bundle).channels
    assert "portal" not in small().channels
    assert ("WIDENS", "t1") in kinds(planned(new, principals=(("agent", "t1"),)))


def test_a_channel_taken_out_of_a_cap_is_reported() -> None:
    policies = copy.deepcopy(dict(bundle().policies))
    body = policies["deny-open-channel"]["conditions"][0]["body"]["&&"]["left"]
    body["contains"]["left"]["Set"] = [one for one in body["contains"]["left"]["Set"] if one["Value"] != "chat"]
    new = OLD.with_policies(policies)
    found = planned(new, principals=(("agent", "medical"),), purposes=("health-service",))
    assert ("WIDENS", "medical") in kinds(found)
    assert {one.policy for one in found.changes} == {"deny-open-channel"}


def test_a_dropped_permit_narrows_and_needs_nobodys_acceptance() -> None:
    kept = {name: one for name, one in bundle().policies.items() if name != "t1-contact"}
    found = planned(OLD.with_policies(kept))
    assert kinds(found) == {("NARROWS", "t1")}
    assert not found.unaccepted


def test_a_stronger_mask_narrows(tmp_path: Path) -> None:
    policies = copy.deepcopy(dict(bundle().policies))
    strong = compiled(
        '@id("t1-contact")\n@reason("support-t1-contact")\n@owner("support")\n'
        'permit (principal is Vault::Agent in Vault::Role::"t1", action == Vault::Action::"view_masked", resource)\n'
        'when { context.purpose == Vault::Purpose::"customer-care" && ["profile", "reveal"].contains(context.act) &&'
        " context has ticket && (context.ticket.assigned || !context.ticket.verified) && context has mask &&"
        ' context.mask.strength >= 2 && resource in [Vault::Field::"email", Vault::Field::"mobile", Vault::Field::"phone",'
        ' Vault::Field::"address", Vault::Field::"support_note"] };\n'
    )
    found = planned(OLD.with_policies({**policies, **strong}), principals=(("agent", "t1"),))
    assert found.changes == {Change("NARROWS", "t1", "customer-care", "pd:EmailAddress", "t1-contact"): ("email",)}


@pytest.mark.parametrize(
    ("dropped", "kind", "role", "category"),
    [
        ("gate1-marketing", "WIDENS", "recipient helpdesk", "pd:EmailAddress"),
        ("enroll-desk", "NARROWS", "t2", "enroll"),
        ("verify-billing", "NARROWS", "billing", "pd:SecretText"),
        ("find-system", "NARROWS", "system system", "pd:EmailAddress"),
        ("amend-own", "NARROWS", "subject", "pd:Language"),
    ],
)
def test_each_kind_of_request_is_compared(dropped: str, kind: str, role: str, category: str) -> None:
    kept = {name: one for name, one in bundle().policies.items() if name != dropped}
    found = planned(
        OLD.with_policies(kept),
        purposes=("billing", "customer-care", "marketing", "rights-fulfilment"),
        templates=("marketing@1",),
        recipients=("helpdesk",),
    )
    assert any((one.kind, one.role, one.category, one.policy) == (kind, role, category, dropped) for one in found.changes)


def test_what_the_catalogue_says_of_a_field_counts(tmp_path: Path) -> None:
    """Less sensitive on paper is clearer on the screen, with not one policy changed."""
    text = shipped_text("catalogue.yaml")
    start = text.index("  email:")
    directory = altered(tmp_path, {"catalogue.yaml": text[:start] + text[start:].replace("sensitivity: 2", "sensitivity: 1", 1)})
    new = Candidate.of(load_bundle(directory))
    assert moved(OLD, new).fields == ("email",)
    found = planned(new, principals=(("agent", "dsr-officer"),), purposes=("rights-fulfilment",), templates=("retail@1",))
    assert ("WIDENS", "dsr-officer") in kinds(found)


def test_a_field_below_a_category_that_moved_is_reported(tmp_path: Path) -> None:
    """Not one policy changed, nor the field, nor its category: three steps above, accounts have become contacts."""
    text = FOR_T1.replace('resource == Vault::Field::"mobile"', 'resource in Vault::Category::"pd:Contact"')
    old, new = both(text, revised(tmp_path, "vocabulary.yaml", '"pd:Financial":', "[]", '["pd:Contact"]'))
    found = plan(old, new, small(old.bundle, new.bundle, principals=(("agent", "t1"),), purposes=("customer-care",), **PLACE))
    assert found.changes[Change("WIDENS", "t1", "customer-care", "vault:IBAN", "t1-call-back")] == ("iban",)
    assert found.changes.keys() == {*found.unaccepted}
    assert {"iban", "account_holder"} <= {*moved(old, new).fields}
    assert "email" not in moved(old, new).fields


def test_a_purpose_below_another_that_moved_is_reported(tmp_path: Path) -> None:
    """The grid has one of each kind that policies tell apart, though none names it: here what is below customer care."""
    text = FOR_T1.replace('purpose == Vault::Purpose::"customer-care"', 'purpose in Vault::Purpose::"service"')
    old, new = both(text, revised(tmp_path, "vocabulary.yaml", "  customer-management:", "[]", "[service]"))
    found = plan(old, new, small(old.bundle, new.bundle, principals=(("agent", "t1"),), channels=("phone",), **PLACE))
    widened = {one.purpose for one in found.unaccepted if one.policy == "t1-call-back"}
    assert widened == {"care-messages", "customer-care", "customer-management"}
    assert moved(old, new).purposes == {"care-messages", "claims", "customer-care", "customer-management", "service"}


def test_a_purpose_that_a_template_agrees_to_since_it_moved_is_reported(tmp_path: Path) -> None:
    new = Candidate.of(load_bundle(revised(tmp_path, "vocabulary.yaml", "  insurance-claims:", "[]", "[fraud-prevention]")))
    found = planned(new, principals=(), **PLACE)
    assert {one.purpose for one in found.unaccepted} == {"insurance-claims"}


def test_a_field_that_moved_stands_for_no_other(tmp_path: Path) -> None:
    """The mobile leaves its category as the policy turns to it: of the mobile nothing changes, of the landline all does."""
    text = FOR_T1.replace('== Vault::Field::"mobile"', 'in Vault::Category::"pd:EmailAddress"')
    old, new = both(text, revised(tmp_path, "catalogue.yaml", "  mobile:", "pd:TelephoneNumber", "pd:EmailAddress"))
    new = new.with_policies({**new.bundle.policies, **compiled(text.replace("pd:EmailAddress", "pd:TelephoneNumber"))})
    assert moved(old, new).fields == ("mobile",)
    found = plan(old, new, small(old.bundle, new.bundle, principals=(("agent", "t1"),), purposes=("customer-care",), **PLACE))
    assert Change("WIDENS", "t1", "customer-care", "pd:TelephoneNumber", "t1-call-back") in found.unaccepted


def test_an_acceptance_is_of_one_change_against_one_bundle() -> None:
    change = Change("WIDENS", "t1", "customer-care", "pd:TelephoneNumber", "t1-call-back")
    made = with_policy(FOR_T1)
    for against, unaccepted in ((bundle().digest, ()), ("sha256:0", (change,))):
        document = "".join(f', {name}: "{value}"' for name, value in change.document.items())
        text = f'schema: riserbo-accepted/1\nwidens: [{{from: "{against}"{document}, reason: call back, owner: dpo}}]\n'
        new = Candidate.of(replace(made, files={**bundle().files, ACCEPTED: text.encode()}))
        assert planned(new, principals=(("agent", "t1"),)).unaccepted == unaccepted


def test_an_acceptance_without_reason_or_owner_is_refused(tmp_path: Path) -> None:
    for number, (text, told) in enumerate(
        (
            ("widens: {}\n", ["plan/accepted.yaml: widens is no list"]),
            (
                "widens: [{from: x, role: t1, purpose: p, category: c, policy: d, reason: ' '}]\n",
                ["plan/accepted.yaml: entry 1 says no reason", "plan/accepted.yaml: entry 1 says no owner"],
            ),
        )
    ):
        (tmp_path / str(number)).mkdir()
        directory = altered(tmp_path / str(number), {ACCEPTED: f"schema: riserbo-accepted/1\n{text}"})
        assert faults(read_files(directory)) == told
