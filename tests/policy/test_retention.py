"""How long the house keeps its own records: what the law asks at least, and nothing else by itself."""

from copy import deepcopy
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.policy.makers import altered, bundle, policy, shipped_text
from vault.policy.bundle import load_bundle, parsed_bundle
from vault.policy.retention import BEFORE, Keeping, keeping_of

DOCUMENT: dict[str, Any] = yaml.safe_load(shipped_text("retention.yaml"))


def changed(name: str, inquiries: bool = True, **change: Any) -> dict[str, Any]:
    document = deepcopy(DOCUMENT)
    document["records"][name] |= change
    return {**document, "inquiry_logs": inquiries}


def test_by_default_everything_is_kept_as_it_was() -> None:
    assert {name: (one.period, one.law) for name, one in policy().keeping.items()} == {
        name: (one.period, one.law) for name, one in BEFORE.items()
    }
    files = {path: octets for path, octets in bundle().files.items() if path != "retention.yaml"}
    assert parsed_bundle(files).keeping == BEFORE


@pytest.mark.parametrize(
    ("name", "inquiries", "period", "fits"),
    [
        ("trail", True, "P731D", True),
        ("trail", True, "P730D", False),
        ("trail", False, "P184D", True),
        ("trail", False, "P183D", False),
        ("trail", True, "P24M", False),
        ("audit-details", True, "P24M", True),
        ("audit-details", True, "P2Y", True),
        ("audit-details", True, "P731D", True),
        ("audit-details", True, "P23M", False),
        ("audit-details", True, "P1Y", False),
        ("audit-details", True, "P0D", False),
        ("audit-details", False, "P0D", True),
        ("tombstones", True, "P1M", True),
        ("agreement-history", True, "P5Y", True),
    ],
)
def test_nothing_is_kept_shorter_than_the_law_asks(name: str, inquiries: bool, period: str, fits: bool) -> None:
    document = changed(name, inquiries, period=period)
    if fits:
        assert keeping_of(document)[name].period == period
    else:
        with pytest.raises(ValueError, match=rf"^{name}: (the law keeps|its period is in days)"):
            keeping_of(document)


@pytest.mark.parametrize(
    "change",
    [{"period": "24 months"}, {"period": "P"}, {"period": "PT1H"}, {"period": 24}, {"law": "c.c."}, {"law": [""]}, {"law": [5]},
     {"counsel": "no"}, {"more": 1}],
)  # fmt: skip
def test_what_is_unfit_is_named(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^tombstones: "):
        keeping_of(changed("tombstones", **change))


@pytest.mark.parametrize(
    "document",
    [{}, {**DOCUMENT, "inquiry_logs": "yes"}, {**DOCUMENT, "records": []}, {**DOCUMENT, "records": {"trail": {}}},
     {"records": DOCUMENT["records"]}],
)  # fmt: skip
def test_every_record_is_there(document: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="records are"):
        keeping_of(document)


def test_a_record_that_is_no_mapping_is_named() -> None:
    with pytest.raises(ValueError, match=r"^trail: is no period"):
        keeping_of({**DOCUMENT, "records": {**DOCUMENT["records"], "trail": "P731D"}})


def test_days_are_days() -> None:
    assert Keeping("P731D", (), counsel=False).days == timedelta(days=731)
    with pytest.raises(ValueError, match="not in days"):
        _ = Keeping("P24M", (), counsel=False).days
    with pytest.raises(ValueError, match="no period"):
        _ = Keeping("for ever", (), counsel=False).days


def test_a_bundle_that_keeps_too_short_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"retention\.yaml: trail: the law keeps it 24 months"):
        load_bundle(altered(tmp_path, {"retention.yaml": shipped_text("retention.yaml").replace("P731D", "P12D")}))
