"""The bundle: its digest, its texts, and what its own words promise."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
import rfc8785
import yaml

from tests.policy.makers import altered, bundle, shipped_text
from vault.policy.bundle import load_bundle, shipped
from vault.policy.cedar import GROUPS, families, world
from vault.policy.files import bundle_digest, parsed, read_files
from vault.policy.lexicon import ROLES


def test_the_digest_is_that_of_a_manifest_anyone_can_make() -> None:
    files = {
        path.relative_to(shipped()).as_posix(): "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()
        for path in shipped().rglob("*")
        if path.suffix in (".yaml", ".cedar", ".cedarschema", ".md", ".txt", ".lock")
    }
    manifest: dict[str, Any] = {
        "engine": "cedar-4.12",
        "files": files,
        "schema": "riserbo-bundle/1",
        "subset": "1",
        "vocabulary": "dpv-2.3",
    }
    assert bundle().digest == "sha256:" + hashlib.sha256(rfc8785.dumps(manifest)).hexdigest()


def test_any_changed_file_changes_the_digest(tmp_path: Path) -> None:
    for number, path in enumerate(("limits.yaml", "tests/matrix/roles.yaml", "gates/lawfulness.cedar", "texts/emergency.v1.it.md")):
        (tmp_path / str(number)).mkdir()
        directory = altered(tmp_path / str(number), {path: shipped_text(path) + "# or not\n"})
        assert bundle_digest(read_files(directory)) != bundle().digest


def test_an_unchanged_copy_has_the_same_digest(tmp_path: Path) -> None:
    assert load_bundle(altered(tmp_path, {})).digest == bundle().digest


def test_people_read_what_they_agree_to_in_both_languages() -> None:
    for reference in bundle().templates:
        for language, digest in bundle().templates[reference]["texts"].items():
            assert hashlib.sha256(bundle().text(reference, language).encode()).hexdigest() == digest
    with pytest.raises(KeyError):
        bundle().text("retail@1", "de")


def test_templates_ship_as_they_were_decided() -> None:
    templates = bundle().templates
    assert set(templates) == {
        f"{one}@1" for one in ("retail", "health-insurance", "marketing", "legal-obligation", "legal-claims", "emergency")
    }
    health, retail, marketing = templates["health-insurance@1"], templates["retail@1"], templates["marketing@1"]
    assert health["condition"] == "explicit_consent"
    assert set(health["purposes"]) == {*retail["purposes"], "insurance-claims", "health-service"}
    assert set(health["categories"]) == {*retail["categories"], "pd:MedicalHealth", "pd:Family", "pd:Communication"}
    assert health["recipients"] == ["controller", "helpdesk", "care-unit"]
    assert (marketing["basis"], marketing["purpose_match"], marketing["purposes"]) == ("consent", "exact", ["marketing"])
    assert marketing["validity"] == {"from": "signature", "until": "P24M"}
    assert {name for name, one in templates.items() if one["dependent"]} == {"emergency@1"}
    assert {name for name, one in templates.items() if one["validity"]["from"] == "trigger"} == {
        "legal-obligation@1",
        "legal-claims@1",
    }


def test_every_forbid_of_the_law_is_there() -> None:
    forbids = {name for name, one in bundle().policies.items() if one["effect"] == "forbid"}
    assert forbids == {
        *("gate1-excluded", "gate1-consent", "gate1-consent-expired", "gate1-special", "gate1-time-barred", "gate1-origin"),
        *("gate1-processor", "gate1-transfer", "gate1-objection", "gate1-marketing", "gate1-minor-marketing", "gate1-restricted"),
        *("deny-no-lawful-basis", "deny-restricted", "deny-special-outside-care", "deny-no-ticket", "deny-weak-ticket"),
        *("deny-open-channel", "deny-api", "deny-minor-clear", "deny-self-level", "deny-never-clear", "deny-never-to-subject"),
        *("deny-office", "deny-break-glass-critical"),
        *("deny-closed-ticket", "deny-ticket-of-another", "deny-ticket-not-yours"),
        *("gate1-deceased", "deny-own-state-level", "deny-own-obscuring-level", "deny-own-accesses-level", "deny-own-export-level"),
    }


def test_roles_do_not_inherit() -> None:
    roles = [one for one in world(bundle().lexicon) if one["uid"]["type"] == "Vault::Role"]
    assert {one["uid"]["id"] for one in roles} == set(ROLES)
    assert all(one["parents"] == [] for one in roles)


def test_policies_are_told_apart_by_what_they_can_speak_on() -> None:
    found = families(bundle().policies)
    assert {name for name in found["law"] if not name.startswith("gate1-")} == set()
    assert "deny-no-lawful-basis" in found["view"].keys() & found["verify"].keys() & found["amend"].keys()
    assert set(found["verb"]) == {
        name
        for name, one in bundle().policies.items()
        if one["annotations"]["reason"] in VERB_REASONS or name.startswith("deny-own-")
    } - {name for name in bundle().policies if name.startswith(("customer-", "dsr-officer-", "amend-", "find-"))}
    assert set(GROUPS) == {"touch_any", "view_any"}


VERB_REASONS = (
    "verb-enroll",
    "verb-agreements",
    "verb-receipts",
    "verb-accesses",
    "verb-unmask",
    "verb-tickets",
    "verb-register",
    "verb-break-glass",
    "verb-states",
    "verb-review",
    "verb-breaches",
    "verb-notices",
    "rights-own-data",
    "rights-request",
)


def test_a_policy_on_every_action_can_speak_on_everything() -> None:
    anywhere = {"x": {"action": {"op": "All"}}}
    assert all(set(some) == {"x"} for some in families(anywhere).values())
    with pytest.raises(KeyError):
        families({"x": {"action": {"op": "==", "entity": {"type": "Vault::Action", "id": "vanish"}}}})


def test_yaml_with_a_key_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="each key once"):
        parsed(b"a: 1\na: 2\n")
    assert parsed(b"a: {b: 1}\n") == {"a": {"b": 1}}


def test_yaml_means_what_it_means_without_libyaml() -> None:
    for path in shipped().rglob("*.yaml"):
        assert parsed(path.read_bytes()) == yaml.safe_load(path.read_text())
