"""What people are told: whole by the articles it is for, and the same for ever once it was released."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.policy.makers import altered, bundle, policy, shipped_text
from vault.policy.bundle import Bundle, load_bundle, parsed_bundle
from vault.policy.continuity import losses
from vault.policy.notices import POINTS, Notice, newest, notice_faults, notices_of

DOCUMENT: dict[str, Any] = yaml.safe_load(shipped_text("notices.yaml"))
(SHIPPED,) = notices_of(DOCUMENT).values()
PATH = "notices/customers.v1.it.md"


def with_notice(change: dict[str, Any]) -> dict[str, Any]:
    document = deepcopy(DOCUMENT)
    document["notices"]["customers@1"] |= change
    return document


def without(point: str) -> dict[str, Any]:
    return {"points": {name: section for name, section in DOCUMENT["notices"]["customers@1"]["points"].items() if name != point}}


def test_the_shipped_notice_says_every_point_in_both_languages() -> None:
    assert policy().notices == {"customers@1": SHIPPED}
    assert SHIPPED.articles == (13, 14)
    assert SHIPPED.points.keys() == POINTS[13] | POINTS[14]
    assert list(notice_faults(policy().notices, bundle().files)) == []


@pytest.mark.parametrize("language", ["it", "en"])
def test_it_names_the_garante_and_what_outlives_an_erasure(language: str) -> None:
    text = bundle().files[SHIPPED.path(language)].decode()
    assert "Garante per la protezione dei dati personali" in " ".join(text.split())
    (storage,) = (one for one in text.split("\n## ") if one.startswith(f"{SHIPPED.points['storage']}. "))
    assert "24 m" in storage.partition("**")[2]  # tombstones


def test_it_is_easy_to_read() -> None:
    """Gulpease, for Italian alone: 89 - LP/10 + FR*3, from 60 on easy for whoever left school at fourteen."""
    words = bundle().files[PATH].decode().replace("#", " ").replace("*", " ").replace("-", " ").split()
    letters = sum(character.isalnum() for one in words for character in one)
    sentences = sum(one.endswith((".", "?")) for one in words)
    assert 89 - 10 * letters / len(words) + 300 * sentences / len(words) >= 60


@pytest.mark.parametrize("point", sorted(POINTS[13] | POINTS[14]))
def test_a_point_the_law_asks_for_is_not_left_out(point: str) -> None:
    with pytest.raises(ValueError, match=f"^customers@1: does not say {point}$"):
        notices_of(with_notice(without(point)))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"more": 1}, "is no notice"),
        ({"articles": []}, "is for article"),
        ({"articles": [15]}, "is for article"),
        ({"articles": 13}, "is for article"),
        ({"texts": {"it": "sha256:" + "0" * 64}}, "Italian and English"),
        ({"texts": []}, "Italian and English"),
        ({"texts": {"it": "sha256:" + "0" * 64, "en": "0"}}, "named by its SHA-256"),
        ({"points": []}, "names its section by number"),
        ({"points": {"rights": "9"}}, "names its section by number"),
        ({"articles": [13]}, "categories, source is no point"),
    ],
)
def test_what_is_unfit_is_named(change: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=f"^customers@1: .*{told}"):
        notices_of(with_notice(change))


@pytest.mark.parametrize("document", [{}, {"notices": []}, {"notices": {}}, {"notices": {"No": {}}}, {"notices": {5: {}}}])
def test_what_is_no_notice_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no notice"):
        notices_of(document)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({PATH: None}, f"{PATH}: is missing"),
        ({PATH: shipped_text(PATH) + "Poi.\n"}, f"{PATH}: is not what notices.yaml names"),
        ({"notices/others.v1.it.md": "Ecco.\n"}, "others.v1.it.md: is the text of no notice"),
        ({"notices.yaml": shipped_text("notices.yaml").replace("storage: 8", "storage: 99")}, f"{PATH}: has no section 99"),
        ({"notices.yaml": shipped_text("notices.yaml").replace("  rights: 9", "  right: 9")}, "notices.yaml: customers@1"),
    ],
)
def test_the_lint_holds_texts_to_their_names(tmp_path: Path, changes: dict[str, str | None], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        load_bundle(altered(tmp_path, changes))


def test_a_bundle_from_before_there_were_any_has_none() -> None:
    files = {path: octets for path, octets in bundle().files.items() if not path.startswith("notices")}
    assert parsed_bundle(files).notices == {}


def test_the_newest_version_counts_where_none_is_named() -> None:
    later = replace(SHIPPED, version=2)
    known = {one.reference: one for one in (later, SHIPPED)}
    assert newest(known, "customers") == later
    assert newest(known, "customers", 1) == SHIPPED
    assert newest(known, "others") is None


def test_a_notice_that_was_released_stays_as_it_was_and_goes_only_when_nobody_was_given_it() -> None:
    old = bundle()

    def having(notices: dict[str, Notice]) -> Bundle:
        made = replace(old)
        made.__dict__["notices"] = notices
        return made

    changed = replace(SHIPPED, texts={**SHIPPED.texts, "en": bytes(32)})
    assert list(losses(old, having({"customers@1": SHIPPED, "customers@2": changed}), (), {"customers@1"})) == []
    assert list(losses(old, having({"customers@1": changed}), ())) == [("customers@1", "notice.changed")]
    assert list(losses(old, having({}), ())) == []
    assert list(losses(old, having({}), (), {"customers@1"})) == [("customers@1", "notice.gone")]
