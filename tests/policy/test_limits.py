"""Limits: the shipped figures are those that were decided, and a document without one is refused."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from tests.policy.makers import altered, bundle, policy, shipped_text
from vault.policy.bundle import load_bundle
from vault.policy.limits import Limits, Rate


def test_the_shipped_limits_are_those_decided() -> None:
    limits = policy().limits
    assert (limits.fields_at_once, limits.hide_after_s, limits.caller_verified_s) == (5, 60, 1_800)
    assert limits.reveal_per_caller_and_subject == (Rate(5, 86_400),)
    assert limits.reveal_per_caller == (Rate(20, 3_600), Rate(60, 86_400))
    assert limits.reveal_per_team == (Rate(100, 3_600), Rate(300, 86_400))
    assert limits.misses_per_subject_and_field == (Rate(3, 86_400),)
    assert limits.misses_per_subject == (Rate(5, 86_400),)
    assert limits.misses_per_caller == (Rate(10, 3_600),)


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("reveal", "fields_at_once", 0),
        ("reveal", "fields_at_once", True),
        ("reveal", "per_team", {}),
        ("reveal", "per_team", 5),
        ("reveal", "per_caller", {"fortnight": 5}),
        ("verify", "misses_per_caller", {"hour": "10"}),
        ("verify", "caller_verified_s", -1),
        ("verify", "caller_verified_s", None),
    ],
)
def test_a_document_without_a_figure_is_refused(part: str, name: str, value: Any) -> None:
    document = deepcopy(bundle().limits)
    document[part][name] = value
    with pytest.raises(ValueError, match="a limit is missing or is none"):
        Limits.of(document)


def test_a_bundle_without_a_limit_is_refused(tmp_path: Path) -> None:
    without = shipped_text("limits.yaml").replace("  per_team: {hour: 100, day: 300}\n", "")
    with pytest.raises(ValueError, match=r"limits\.yaml: a limit is missing"):
        load_bundle(altered(tmp_path, {"limits.yaml": without}))
