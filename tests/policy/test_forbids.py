"""Each forbid of gate 2 speaks where the law says, and is silent where it is exempt: asked of Cedar itself, by policy id.

The table of roles alone would not notice most of them missing: what a forbid refuses, mostly nobody permits either.
"""

from typing import Any

import pytest

from tests.policy.changes import FIELDS
from tests.policy.makers import bundle, policy, situation
from vault.policy import cedar
from vault.policy.groups import Bucket
from vault.policy.inputs import view_key
from vault.policy.rows import Rung

LEXICON = bundle().lexicon
OF_VERBS = (
    "deny-own-state-level",
    "deny-own-obscuring-level",
    "deny-own-accesses-level",
    "deny-own-export-level",
)  # they speak of no field: `requests` of the matrix asks them
FORBIDS = {name for name, one in bundle().policies.items() if one["effect"] == "forbid" and name.startswith("deny-")} - {*OF_VERBS}
OPEN, APPROVED = {"break_glass": "open"}, {"break_glass": "approved"}
NONE, ASSERTED = {"ticket": "none", "assigned": False}, {"ticket": "asserted", "assigned": False}
REFUSED = {  # tickets that are known and justify nothing
    "deny-closed-ticket": {"ticket": "closed", "assigned": False},
    "deny-ticket-of-another": {"ticket": "of-another-person", "assigned": False},
    "deny-ticket-not-yours": {"ticket": "not-yours", "assigned": False},
}
MINOR, HELD = {"minor": True}, {"restricted": frozenset({"email"})}
EVERYTHING = LEXICON.everything


def determining(start: str, field: str, action: str, **changes: Any) -> tuple[bool, frozenset[str]]:
    """Return Cedar's answer to one request, and the policies that determined it."""
    made = situation(start)
    key = view_key(made.context, "profile", made.caller, made.ticket, made.subject, EVERYTHING, 0)._replace(**changes)
    part = Bucket(LEXICON.fields[FIELDS.index(field)], (FIELDS.index(field),))
    entities = [cedar.principal(key.principal, key.roles, key.training)]
    verdict = policy()._engine.evaluate(entities, cedar.view_requests(key, [(part, [Rung(action)])]))[0]
    assert not verdict.failed
    return verdict.allowed, frozenset(verdict.by)


SPEAKS: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    ("deny-no-lawful-basis", "t1", "email", {"lawful": 0}),
    ("deny-no-lawful-basis", "customer", "email", {"lawful": 0, **APPROVED}),
    ("deny-restricted", "t1", "email", HELD),
    ("deny-restricted", "t1", "email", {**HELD, **APPROVED}),
    ("deny-special-outside-care", "t1", "health_note", {}),
    ("deny-special-outside-care", "t1", "health_note", OPEN),
    ("deny-special-outside-care", "medical", "health_note", {"training": frozenset()}),
    ("deny-special-outside-care", "medical", "health_note", {"in_care": False}),
    ("deny-special-outside-care", "customer", "health_note", {"is_self": False}),
    ("deny-no-ticket", "t1", "email", NONE),
    ("deny-no-ticket", "t1", "email", {**NONE, **OPEN}),
    ("deny-weak-ticket", "t1", "email", ASSERTED),
    ("deny-weak-ticket", "t1", "email", {**ASSERTED, **OPEN}),
    *((forbid, "t1", "given_name", changes) for forbid, changes in REFUSED.items()),
    *((forbid, "t2", "email", {**changes, **OPEN}) for forbid, changes in REFUSED.items()),
    ("deny-open-channel", "t1", "email", {"channel": "chat"}),
    ("deny-open-channel", "t1", "email", {"channel": "email"}),
    ("deny-open-channel", "customer", "email", {"channel": "social", **APPROVED}),
    ("deny-api", "t1", "iban", {"channel": "api"}),
    ("deny-minor-clear", "t1", "email", MINOR),
    ("deny-minor-clear", "t1", "email", {**MINOR, **OPEN}),
    ("deny-self-level", "customer", "email", {"level": 1}),
    ("deny-self-level", "customer", "health_note", {"level": 2}),
    ("deny-never-clear", "t1", "card", {}),
    ("deny-never-clear", "t1", "verification_phrase", APPROVED),
    ("deny-never-to-subject", "customer", "aml_note", {}),
    ("deny-never-to-subject", "customer", "aml_note", {"purpose": "customer-care"}),
    ("deny-never-to-subject", "dsr-officer", "aml_note", {}),
    ("deny-office", "dpo", "email", {}),
    ("deny-office", "dpo", "email", OPEN),
    ("deny-office", "operator", "email", {}),
    ("deny-office", "operator", "email", APPROVED),
    ("deny-office", "t1", "email", {"roles": frozenset({"dpo", "operator"}), **APPROVED}),
    ("deny-break-glass-critical", "t1", "tax_code", OPEN),
    ("deny-break-glass-critical", "t1", "health_note", OPEN),
)

SILENT: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    ("deny-no-lawful-basis", "t1", "email", {}),
    ("deny-restricted", "t1", "iban", HELD),
    ("deny-restricted", "t1", "email", {**HELD, "after_restriction": EVERYTHING}),
    ("deny-restricted", "t1", "email", {**HELD, "purpose": "legal-claims"}),
    ("deny-restricted", "t1", "email", {**HELD, "purpose": "rights-fulfilment"}),
    ("deny-special-outside-care", "t1", "email", {}),
    ("deny-special-outside-care", "medical", "health_note", {}),
    ("deny-special-outside-care", "dsr-officer", "health_note", {}),
    ("deny-special-outside-care", "customer", "health_note", {}),
    ("deny-special-outside-care", "t1", "health_note", {"roles": frozenset({"legal-archive"})}),
    ("deny-special-outside-care", "t1", "health_note", APPROVED),
    ("deny-no-ticket", "t1", "given_name", NONE),
    ("deny-no-ticket", "t1", "email", {**NONE, **APPROVED}),
    ("deny-no-ticket", "t1", "email", {}),
    ("deny-no-ticket", "system", "email", NONE),
    ("deny-no-ticket", "customer", "email", {}),
    ("deny-weak-ticket", "t1", "given_name", ASSERTED),
    ("deny-weak-ticket", "t1", "email", {**ASSERTED, **APPROVED}),
    ("deny-weak-ticket", "t1", "email", {"assigned": False}),
    ("deny-weak-ticket", "system", "email", ASSERTED),
    *((forbid, "t1", "email", {**changes, **APPROVED}) for forbid, changes in REFUSED.items()),
    *((forbid, "system", "email", changes) for forbid, changes in REFUSED.items()),
    *((forbid, "t1", "email", changes) for forbid in REFUSED for changes in (NONE, ASSERTED, {}, {"assigned": False})),
    *((one, "t1", "email", changes) for one in REFUSED for other, changes in REFUSED.items() if one != other),
    ("deny-open-channel", "t1", "given_name", {"channel": "chat"}),
    ("deny-open-channel", "t1", "email", {"channel": "front_office"}),
    ("deny-api", "t1", "email", {"channel": "api"}),
    ("deny-api", "t1", "iban", {"channel": "portal"}),
    ("deny-minor-clear", "t1", "given_name", MINOR),
    ("deny-minor-clear", "t1", "email", {}),
    ("deny-minor-clear", "t1", "email", {**MINOR, "roles": frozenset({"minors-desk"})}),
    ("deny-minor-clear", "medical", "email", MINOR),
    ("deny-minor-clear", "dsr-officer", "email", MINOR),
    ("deny-minor-clear", "t1", "email", {**MINOR, **APPROVED}),
    ("deny-minor-clear", "customer", "email", MINOR),
    ("deny-self-level", "customer", "email", {"level": 2}),
    ("deny-self-level", "customer", "health_note", {"level": 3}),
    ("deny-self-level", "customer", "email", {"level": 0, "is_self": False}),
    ("deny-self-level", "t1", "email", {"level": 0}),
    ("deny-never-clear", "t1", "email", {}),
    ("deny-never-to-subject", "t1", "aml_note", {}),
    ("deny-never-to-subject", "customer", "email", {}),
    ("deny-office", "t1", "email", {}),
    ("deny-office", "dpo", "email", APPROVED),
    ("deny-break-glass-critical", "t1", "tax_code", {}),
    ("deny-break-glass-critical", "t1", "iban", OPEN),
    ("deny-break-glass-critical", "t1", "tax_code", APPROVED),
)


@pytest.mark.parametrize(("forbid", "start", "field", "changes"), SPEAKS)
def test_a_forbid_speaks(forbid: str, start: str, field: str, changes: dict[str, Any]) -> None:
    allowed, by = determining(start, field, "view_clear", **changes)
    assert not allowed
    assert forbid in by


@pytest.mark.parametrize(("forbid", "start", "field", "changes"), SILENT)
def test_a_forbid_is_silent(forbid: str, start: str, field: str, changes: dict[str, Any]) -> None:
    assert forbid not in determining(start, field, "view_clear", **changes)[1]


def test_every_forbid_is_seen_to_speak_and_to_be_silent() -> None:
    assert {row[0] for row in SPEAKS} == {row[0] for row in SILENT} == FORBIDS


def test_caps_cap_and_denials_deny() -> None:
    caps: dict[str, dict[str, Any]] = {
        "deny-no-ticket": NONE,
        "deny-weak-ticket": ASSERTED,
        "deny-open-channel": {"channel": "chat"},
        "deny-minor-clear": MINOR,
    }
    for forbid, changes in caps.items():
        assert forbid not in determining("t1", "email", "view_masked", **changes)[1]
    assert "deny-api" in determining("t1", "iban", "view_masked", channel="api")[1]
    assert "deny-api" not in determining("t1", "iban", "view_token", channel="api")[1]
    assert "deny-never-clear" not in determining("t2", "card", "view_masked")[1]
    for action in ("view_clear", "view_masked", "view_token", "verify", "amend"):
        for forbid, start, field, changes in SPEAKS:
            if forbid in DENIALS:
                assert forbid in determining(start, field, action, **changes)[1]


DENIALS = FORBIDS - {"deny-no-ticket", "deny-weak-ticket", "deny-open-channel", "deny-api", "deny-minor-clear", "deny-never-clear"}


@pytest.mark.parametrize("start", ["t1", "t2", "billing", "medical"])
def test_verification_is_for_a_verified_ticket_of_ones_own(start: str) -> None:
    assert determining(start, "verification_phrase", "verify") == (True, frozenset({_verifies(start)}))
    assert determining(start, "customer_number", "verify")[0]
    assert not determining(start, "iban", "verify")[0]
    assert "deny-weak-ticket" in determining(start, "customer_number", "verify", **ASSERTED)[1]
    assert "deny-no-ticket" in determining(start, "customer_number", "verify", **NONE)[1]
    other = {"roles": frozenset({"minors-desk"})}
    unfit: tuple[dict[str, Any], ...] = (
        {"assigned": False},
        {"purpose": "marketing"},
        {"principal": "system", "training": frozenset()},
        other,
    )
    for changes in unfit:
        assert not determining(start, "verification_phrase", "verify", **changes)[0]


def _verifies(start: str) -> str:
    return {"t1": "verify-support", "t2": "verify-support"}.get(start, f"verify-{start}")


@pytest.mark.parametrize(
    ("start", "field"), [("t1", "contact_hours"), ("t2", "email"), ("billing", "iban"), ("medical", "allergies")]
)
def test_a_desk_changes_values_on_a_verified_ticket_of_its_own(start: str, field: str) -> None:
    assert determining(start, field, "amend")[0]
    unfit: tuple[dict[str, Any], ...] = (
        NONE,
        {"ticket": "asserted", "assigned": True},
        {"assigned": False},
        {"purpose": "legal-compliance"},
        {"roles": frozenset({"minors-desk"})},
    )
    for changes in unfit:
        assert not determining(start, field, "amend", **changes)[0]
    assert not determining(start, "passport", "amend")[0]
    assert not determining(start, "oncology_history" if start != "medical" else "gender", "amend")[0]


def test_civil_facts_are_verified_by_support_alone() -> None:
    verifying = {
        start
        for start in ("t1", "t2", "billing", "medical", "system", "customer")
        if determining(start, "birth_place", "verify")[0]
    }
    assert verifying == {"t1", "t2"}


@pytest.mark.parametrize(
    ("start", "field", "changes", "allowed"),
    [
        ("t1", "contact_hours", {}, True),
        ("t1", "email", {}, False),
        ("t2", "email", {}, True),
        ("t2", "email", ASSERTED, False),
        ("t2", "email", {"assigned": False}, False),
        ("t2", "email", {"purpose": "billing"}, False),
        ("t2", "email", {"principal": "system", "training": frozenset()}, False),
        ("t2", "tax_code", {}, False),
        ("billing", "iban", {}, True),
        ("billing", "iban", ASSERTED, False),
        ("billing", "iban", {"purpose": "customer-care"}, False),
        ("medical", "allergies", {}, True),
        ("medical", "allergies", {"in_care": False}, False),
        ("medical", "contact_hours", {"in_care": False}, False),
        ("medical", "contact_hours", {"training": frozenset()}, False),
        ("medical", "contact_hours", {"purpose": "customer-care"}, False),
        ("medical", "contact_hours", ASSERTED, False),
        ("dsr-officer", "tax_code", {}, True),
        ("dsr-officer", "verification_phrase", {}, False),
        ("dsr-officer", "tax_code", {"request_accepted": False}, False),
        ("dsr-officer", "tax_code", {"purpose": "customer-care"}, False),
        ("customer", "contact_hours", {}, True),
        ("customer", "contact_hours", {"level": 1}, False),
        ("customer", "contact_hours", {"is_self": False}, False),
        ("customer", "contact_hours", {"purpose": "marketing"}, False),
        ("customer", "iban", {}, False),
        ("system", "iban", {}, True),
        ("system", "health_note", {}, False),
        ("dpo", "email", {}, False),
    ],
)
def test_who_may_change_a_value(start: str, field: str, changes: dict[str, Any], allowed: bool) -> None:
    assert determining(start, field, "amend", **changes)[0] is allowed
