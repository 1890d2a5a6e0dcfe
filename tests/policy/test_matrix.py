"""The table of roles and the conditions, each cell through `Policy.decide`: level, mask and reason."""

from collections import Counter
from typing import Any

import pytest

from tests.policy import matrix
from tests.policy.makers import bundle, policy, situation
from vault.policy.decision import PERMISSIONS, REFUSALS
from vault.policy.masks import MASKS
from vault.policy.recorded import spelt_out

CASES = list(matrix.roles())
TABLE = matrix.document()


def test_the_table_has_every_field_role_and_template() -> None:
    assert len(bundle().catalogue["fields"]) == 38
    assert list(TABLE["cells"]) == list(bundle().catalogue["fields"])
    assert {name for name, one in TABLE["contexts"].items() if name != "system-marketing"} == set(TABLE["columns"]) - {
        "system-marketing"
    }
    assert Counter(case.template for case in CASES) == {"retail": 380, "health-insurance": 380, "marketing": 380}


@pytest.mark.parametrize("template", TABLE["templates"])
@pytest.mark.parametrize("context", TABLE["columns"])
def test_each_role_sees_what_the_table_says(template: str, context: str) -> None:
    cells = {
        case.field: (case.level, case.mask, case.because) for case in CASES if (case.template, case.context) == (template, context)
    }
    decision = situation(context, TABLE["templates"][template]["agreements"]).decided(policy(), *cells)
    assert {name: (one.level, one.mask, one.because) for name, one in decision.fields.items()} == cells
    assert decision.opened() == {name: "agr_0" for name, (level, _, _) in cells.items() if level in ("clear", "masked")}


@pytest.mark.parametrize("template", TABLE["templates"])
@pytest.mark.parametrize("office", ["dpo", "operator"])
def test_officers_get_the_uniform_404(template: str, office: str) -> None:
    decision = situation(office, TABLE["templates"][template]["agreements"]).decided(policy(), *TABLE["cells"])
    assert decision.hidden
    returned, deciding = spelt_out(bundle().lexicon, decision.record)
    assert returned.keys() == set(TABLE["cells"])
    assert all(one.startswith("withheld:") for one in returned.values())
    assert not deciding


@pytest.mark.parametrize("case", matrix.conditions(), ids=lambda case: case["name"])
def test_condition(case: dict[str, Any]) -> None:
    made = situation(case["from"], case["agreements"], case.get("context"), case.get("person"))
    decision = made.decided(policy(), *case["expect"])
    assert {name: [one.level, one.mask, one.because] for name, one in decision.fields.items()} == case["expect"]
    assert (decision.hidden, decision.restricted) == (case.get("hidden", False), case.get("restricted", False))
    assert decision.told == case.get("told")
    assert list(decision.record["obligations"]) == case.get("obligations", [])


def test_every_mask_of_the_table_exists() -> None:
    assert {case.mask for case in CASES if case.mask} <= set(MASKS)


def test_the_matrix_holds_every_reason_a_profile_can_give() -> None:
    seen = {case.because for case in CASES} | {cell[2] for case in matrix.conditions() for cell in case["expect"].values()}
    verbs = {"agreed", *(one for one in PERMISSIONS if one.startswith(("verify-", "amend-", "find-", "verb-")))}
    # No party of the shipped register lacks a contract; denials and errors are tested where they arise.
    elsewhere = {
        "no-processing-agreement",
        "emergency-denial",
        "policy-error",
        "reveal-needed",
    }
    assert seen | verbs | elsewhere | {"care-reveal"} == {*PERMISSIONS, *REFUSALS}
