"""`riserbo policy …`: one line of JSON, and an exit status that a pipeline can go by."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.policy.makers import altered, shipped_text
from vault.__main__ import app
from vault.policy.bundle import shipped

runner = CliRunner()


def test_a_bundle_that_the_lint_refuses_ends_1(tmp_path: Path) -> None:
    ran = runner.invoke(app, ["policy", "test", str(altered(tmp_path, {"limits.yaml": "schema: other/1\n"})), "--json"])
    assert ran.exit_code == 1
    assert json.loads(ran.stdout) == {"cases": 0, "passed": 0, "mutation": {"killed": 0, "total": 0}}
    assert "limits.yaml" in ran.stderr


def test_a_bundle_whose_cases_fail_ends_1_and_names_them(tmp_path: Path) -> None:
    """A cell of the table and a condition come out otherwise, in one run of some seconds."""
    roles, conditions = "roles/t1.cedar", "tests/matrix/conditions.yaml"
    changes: dict[str, str | None] = {
        roles: shipped_text(roles).replace('[Vault::Field::"correspondence"]', '[Vault::Field::"contact_hours"]'),
        conditions: shipped_text(conditions).replace(
            "contract_number: [masked, last4, support-t1-identity]", "contract_number: [clear, null, support-t1-identity]", 1
        ),
    }
    failing = runner.invoke(app, ["policy", "test", str(altered(tmp_path, changes))])
    assert failing.exit_code == 1
    assert failing.stdout == ""
    said = " ".join(failing.stderr.split())
    assert "health-insurance/t1/correspondence: expected masked file_facts support-t1-files, got withheld role" in said
    wrong = "contract_number: expected clear support-t1-identity, got masked last4 support-t1-identity"
    assert f"an asserted ticket shows masks at most of what identifies: {wrong}" in said
    assert "slips not tried: a case fails" in said


def test_no_directory_is_misuse() -> None:
    assert runner.invoke(app, ["policy", "plan", *[str(shipped())] * 3]).exit_code == 2
    assert runner.invoke(app, ["policy", "test", "/nowhere/at/all"]).exit_code == 2


@pytest.mark.drill
def test_the_shipped_bundle_holds_and_says_so_in_one_line() -> None:
    """A minute: every slip in every policy."""
    ran = runner.invoke(app, ["policy", "test", "--json"])
    assert ran.exit_code == 0, ran.stderr
    said = json.loads(ran.stdout)
    assert ran.stdout.count("\n") == 1
    assert said["cases"] == said["passed"] >= 1_200
    assert said["mutation"]["killed"] == said["mutation"]["total"] > 250


def test_a_plan_that_widens_ends_1_and_says_where(tmp_path: Path) -> None:
    text = shipped_text("roles/verbs.cedar")
    new = altered(tmp_path, {"roles/verbs.cedar": text.replace('Role::"t2"', 'Role::"t1"', 1)})
    ran = runner.invoke(app, ["policy", "plan", str(new), "--json"])
    assert ran.exit_code == 1, ran.output
    said = json.loads(ran.stdout)
    assert {"kind": "WIDENS", "role": "t1", "accepted": False} in [
        {name: one[name] for name in ("kind", "role", "accepted")} for one in said["changes"]
    ]
    told = runner.invoke(app, ["policy", "plan", str(new)])
    assert told.exit_code == 1
    assert "NARROWS t2, customer-care" in told.stderr
    rows = "".join(
        f', {name}: "{one[name]}"'
        for one in said["changes"]
        if one["kind"] == "WIDENS"
        for name in ("role", "purpose", "category", "policy")
    )
    accepted = f'schema: riserbo-accepted/1\nwidens: [{{from: "{said["from"]}"{rows}, reason: "t1 enrols", owner: dpo}}]\n'
    (new / "plan").mkdir()
    (new / "plan" / "accepted.yaml").write_text(accepted)
    assert runner.invoke(app, ["policy", "plan", str(shipped()), str(new)]).exit_code == 0


def test_a_plan_of_what_is_no_bundle_ends_1(tmp_path: Path) -> None:
    for command in ("plan", "test"):
        ran = runner.invoke(app, ["policy", command, str(tmp_path)])
        assert ran.exit_code == 1
        assert ran.stderr.startswith(f"{tmp_path} is not a sound bundle (no catalogue.yaml):\n")


def test_how_long_the_house_keeps_its_records_is_said(tmp_path: Path) -> None:
    said = json.loads(runner.invoke(app, ["policy", "keeping", "--json"]).stdout)["keeping"]
    assert {one["what"]: one["period"] for one in said} == {
        "tombstones": "P24M", "audit-details": "P24M", "agreement-history": "P10Y", "trail": "P731D",
    }  # fmt: skip
    told = runner.invoke(app, ["policy", "keeping"])
    assert (told.exit_code, "tombstones" in told.stderr, "(counsel)" in told.stderr) == (0, True, True)
    unfit = altered(tmp_path, {"retention.yaml": shipped_text("retention.yaml").replace("P731D", "P700D")})
    failing = runner.invoke(app, ["policy", "keeping", str(unfit)])
    assert (failing.exit_code, failing.stdout) == (1, "")
    assert "retention.yaml: trail: the law keeps it 24 months at least" in " ".join(failing.stderr.split())
