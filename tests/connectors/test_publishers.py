"""What a controller says of itself: read from its own file, whole, or not at all."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tests.publishers import SAID
from vault.connectors.publishers import read_publisher
from vault.errors import Conflict


def written(directory: Path, said: Any, name: str = "acme") -> Path:
    (directory / f"{name}.json").write_text(said if isinstance(said, str) else json.dumps(said))
    return directory


def test_the_sample_is_a_description(tmp_path: Path) -> None:
    publisher = read_publisher(written(tmp_path, SAID), "acme")
    assert publisher.name == "Esempio Assicurazioni S.p.A. (inventata)"
    assert publisher.notice_on == date(2026, 1, 10)
    assert publisher.storage == ("IT",)
    assert publisher.dpo == "dpo@esempio.example"
    assert publisher.party("helpdesk") == "https://esempio.example#helpdesk"


def test_a_data_protection_officer_need_not_be_named(tmp_path: Path) -> None:
    written(tmp_path, {name: one for name, one in SAID.items() if name != "dpo"})
    assert read_publisher(tmp_path, "acme").dpo is None


def test_what_is_written_anew_is_what_is_said_next(tmp_path: Path) -> None:
    written(tmp_path, SAID)
    written(tmp_path, {**SAID, "name": "Acme"})
    assert read_publisher(tmp_path, "acme").name == "Acme"


@pytest.mark.parametrize("name", ["nobody", "../acme", "a/b", "", ".", "acme.json\0"])
def test_without_a_file_of_its_own_it_is_not_described(tmp_path: Path, name: str) -> None:
    inside = tmp_path / "controllers"
    inside.mkdir()
    written(tmp_path, SAID)
    with pytest.raises(Conflict) as refusal:
        read_publisher(inside, name)
    assert refusal.value.code == "controller-not-described"


@pytest.mark.parametrize("said", ["{", "[]", "null", '"' + "x" * 17_000 + '"'])
def test_a_file_that_is_no_description_is_refused(tmp_path: Path, said: str) -> None:
    with pytest.raises(Conflict) as refusal:
        read_publisher(written(tmp_path, said), "acme")
    assert (refusal.value.code, refusal.value.faults) == ("controller-misdescribed", ())


@pytest.mark.parametrize(
    ("change", "faults"),
    [
        ({"name": None}, [("name", "unfit")]),
        ({"name": "a\nb"}, [("name", "unfit")]),
        ({"dpo": ""}, [("dpo", "unfit")]),
        ({"url": "http://esempio.example"}, [("url", "unfit")]),
        ({"url": "https://esempio.example#x"}, [("url", "unfit")]),
        ({"portal": "javascript:alert(1)"}, [("portal", "unfit")]),
        ({"notice_on": "2026-02-30"}, [("notice_on", "unfit")]),
        ({"notice_on": "10/01/2026"}, [("notice_on", "unfit")]),
        ({"jurisdiction": "it"}, [("jurisdiction", "unfit")]),
        ({"storage": []}, [("storage", "unfit")]),
        ({"storage": "IT"}, [("storage", "unfit")]),
        ({"storage": ["IT", 7]}, [("storage", "unfit")]),
        ({"deletion": "a month"}, [("deletion", "unfit")]),
        ({"deletion": "P"}, [("deletion", "unfit")]),
        ({"slogan": "x", "motto": "y"}, [("members", "unknown")]),
    ],
)
def test_each_member_must_fit(tmp_path: Path, change: dict[str, Any], faults: list[tuple[str, str]]) -> None:
    with pytest.raises(Conflict) as refusal:
        read_publisher(written(tmp_path, {**SAID, **change}), "acme")
    assert [(one.pointer, one.code) for one in refusal.value.faults] == faults


def test_every_member_is_needed(tmp_path: Path) -> None:
    for name in SAID.keys() - {"dpo"}:
        with pytest.raises(Conflict) as refusal:
            read_publisher(written(tmp_path, {key: value for key, value in SAID.items() if key != name}), "acme")
        assert [(one.pointer, one.code) for one in refusal.value.faults] == [(name, "missing")]
