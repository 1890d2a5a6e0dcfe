"""Every refusal has its law, a term of DPV, and a text in both languages."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.policy.makers import altered, policy, shipped_text
from vault.policy.bundle import load_bundle
from vault.policy.refusing import refusals_of

CODES = {
    *("identity-failed", "unfounded", "excessive", "legal-obligation", "legal-claims", "public-health", "archiving"),
    *("free-expression", "third-party-rights", "not-portable", "accurate", "overriding-grounds", "limited-2-undecies"),
    "not-controller",
}


def test_every_code_of_the_design_is_there_whole() -> None:
    found = policy().refusals
    assert found.keys() == CODES
    for one in found.values():
        assert one.law
        assert set(one.texts) == {"it", "en"}
        assert all(one.texts.values())
    assert found["identity-failed"].dpv == "eu-gdpr:JustificationA12IdentityFailure"


@pytest.mark.parametrize(
    "change", [{"law": ""}, {"it": " "}, {"en": None}, {"dpv": "dpv:Something"}, {"dpv": "eu-gdpr:lower"}, {"fr": "non"}]
)
def test_what_is_unfit_is_named(change: dict[str, Any]) -> None:
    document = yaml.safe_load(shipped_text("refusals.yaml"))
    document["refusals"]["unfounded"] |= change
    with pytest.raises(ValueError, match=r"^unfounded: "):
        refusals_of(document)


@pytest.mark.parametrize("document", [{}, {"refusals": []}, {"refusals": {}}, {"refusals": {"No": {}}}, {"refusals": {5: {}}}])
def test_what_is_no_refusal_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no refusal"):
        refusals_of(document)


def test_a_bundle_with_an_unfit_refusal_is_refused(tmp_path: Path) -> None:
    unfit = shipped_text("refusals.yaml").replace("GDPR 12(6), 11(2)", "", 1)
    with pytest.raises(ValueError, match=r"refusals\.yaml: identity-failed"):
        load_bundle(altered(tmp_path, {"refusals.yaml": unfit}))
