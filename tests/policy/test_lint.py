"""Each rule of the lint finds what breaks it, and the shipped bundle breaks none."""

import subprocess
import sys
from pathlib import Path

import cedarpy
import pytest

from tests.policy.makers import altered, shipped_text
from vault.policy.bundle import load_bundle, shipped
from vault.policy.files import read_files
from vault.policy.lint import faults, main

T1 = shipped_text("roles/t1.cedar")
RETAIL = shipped_text("agreements/retail.v1.yaml")
CATALOGUE = shipped_text("catalogue.yaml")
RECIPIENTS = shipped_text("recipients.yaml")

Change = str | tuple[str, str] | None  # the file's new text, one replacement in its text, or its removal
Row = tuple[str, str, Change, str]  # what is wrong, in which file, how, and what the lint says


def made(path: str, change: Change) -> str | None:
    return once(shipped_text(path), *change) if isinstance(change, tuple) else change


def once(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new, 1)


def test_the_shipped_bundle_is_sound() -> None:
    assert faults(read_files(shipped())) == []


def policy_with(
    condition: str = "true", annotations: str = '@reason("role") @law("GDPR") @owner("dpo")', effect: str = "forbid"
) -> str:
    text = f'@id("x") {annotations} {effect} (principal, action in Vault::Action::"view_any", resource) when {{ {condition} }};'
    formatted: str = cedarpy.format_policies(text, line_width=120, indent_width=2)
    return formatted.rstrip("\n") + "\n"


FILES: tuple[Row, ...] = (
    ("a file is missing", "limits.yaml", None, "limits.yaml: is missing"),
    ("a file is no file of a bundle", "roles/t1.cedar.bak", "x\n", "roles/t1.cedar.bak: is no file of a bundle"),
    ("a folder is no folder of a bundle", "roles/old/t1.cedar", T1, "roles/old/t1.cedar: is no file of a bundle"),
    ("a file has carriage returns", "exemptions.txt", "a\r\n", "exemptions.txt: is not plain text"),
    ("a file has a byte order mark", "roles/t1.cedar", "\ufeff" + T1, "roles/t1.cedar: is not plain text"),
    ("a file does not end its last line", "roles/t1.cedar", T1.rstrip("\n"), "roles/t1.cedar: is not plain text"),
    (
        "a document has a key twice",
        "limits.yaml",
        "schema: riserbo-limits/1\nschema: x\n",
        "limits.yaml: not YAML with each key once",
    ),
    ("a document is no YAML", "limits.yaml", "a: [\n", "limits.yaml: not YAML"),
    (
        "a document is of another schema",
        "limits.yaml",
        "schema: riserbo-limits/2\n",
        "limits.yaml: is not of schema riserbo-limits/1",
    ),
    ("a document is a list", "tests/matrix/more.yaml", "[]\n", "tests/matrix/more.yaml: is not of schema riserbo-matrix/1"),
)

DOCUMENTS: tuple[Row, ...] = (
    ("a field lacks a member", "catalogue.yaml", ("    origin: observed\n", ""), "customer_number: members differ: origin"),
    ("a field has a category of no vocabulary", "catalogue.yaml", ("category: pd:UID", "category: pd:Address"), "category is not"),
    (
        "a field of class special is not special",
        "catalogue.yaml",
        CATALOGUE.replace("special: true", "special: false"),
        "class `special`",
    ),
    ("a card's code has a field", "catalogue.yaml", ("  credit_score:", "  card_cvv2:"), "card_cvv2: is never taken"),
    ("a mask is of another type", "catalogue.yaml", ("masks: [last4]", "masks: [initial]"), "masks are not of its type"),
    ("a card shows more", "catalogue.yaml", ("masks: [card_bin_last4, card_last4]", "masks: [card_last4]"), "card: masks are not"),
    (
        "an impact assessment is told and not named",
        "vocabulary.yaml",
        (
            "purposes:\n  customer-management:\n",
            "purposes:\n  customer-management:\n    impact_assessments: [as we wrote in March]\n",
        ),
        "impact_assessments are references, or the member is left out",
    ),
    (
        "no impact assessment is named",
        "agreements/retail.v1.yaml",
        ("assessment: null\n", "assessment: null\nimpact_assessments: []\n"),
        "impact_assessments are references, or the member is left out",
    ),
    ("an edge leads nowhere", "vocabulary.yaml", ("broader: [pd:Identifying]", "broader: [pd:X]"), "pd:X is no term"),
    (
        "a purpose in use lacks a label",
        "vocabulary.yaml",
        (', en: "Payment management"', ""),
        "purpose billing, which agreements/health-insurance.v1.yaml, agreements/retail.v1.yaml use, has no label in `en`",
    ),
    (
        "a purpose to keep data for lacks its labels",
        "vocabulary.yaml",
        ('    labels: {it: "Adempimento di obblighi di legge", en: "Legal compliance"}\n', ""),
        "agreements/legal-obligation.v1.yaml, agreements/retail.v1.yaml use, has no label in `it`",
    ),
    (
        "a purpose is labelled blank",
        "vocabulary.yaml",
        ('en: "Direct marketing"', 'en: " "'),
        "purpose marketing, which agreements/marketing.v1.yaml uses, has no label in `en`",
    ),
    (
        "a purpose lacks its term",
        "vocabulary.yaml",
        ("    term: dpv:DirectMarketing\n", ""),
        "purpose marketing, which agreements/marketing.v1.yaml uses, has no term",
    ),
    (
        "the term of a purpose is another",
        "vocabulary.yaml",
        ('iri: "https://w3id.org/dpv#DirectMarketing"', 'iri: "https://w3id.org/dpv#Marketing"'),
        "purpose marketing, which agreements/marketing.v1.yaml uses, has no term",
    ),
    (
        "a purpose is added without what the records of processing say of it",
        "vocabulary.yaml",
        ("purposes:\n", 'purposes:\n  lotteries: {term: vault:Lotteries, iri: "https://riserbo.dev/ns#Lotteries", broader: []}\n'),
        "vocabulary.yaml: purpose lotteries has no label in `en`",
    ),
    ("a purpose is nothing", "vocabulary.yaml", ("purposes:\n", "purposes:\n  lotteries:\n"), "purpose lotteries has no list"),
    (
        "a category lacks a label",
        "vocabulary.yaml",
        ('labels: {it: "IBAN", en: "IBAN"}', 'labels: {it: "IBAN"}'),
        "category vault:IBAN has no label in `en`",
    ),
    (
        "a template names a purpose as text",
        "agreements/marketing.v1.yaml",
        ("purposes: [marketing]", "purposes: marketing"),
        "purposes holds",
    ),
    ("a recipient lacks its contract", "recipients.yaml", ("    contract: not-needed\n", ""), "controller: members differ"),
    ("a contract is of no list", "recipients.yaml", ("contract: valid", "contract: yes please"), "contract is valid, none"),
    ("a transfer tool is no article", "recipients.yaml", ("transfer_tool: none", "transfer_tool: trust"), "none or an article"),
    (
        "the person is no recipient",
        "recipients.yaml",
        RECIPIENTS[: RECIPIENTS.index("  subject:")],
        "subject: the person is a recipient",
    ),
)

TEMPLATES: tuple[Row, ...] = (
    ("a template lacks a member", "agreements/retail.v1.yaml", ("assessment: null\n", ""), "members differ: assessment"),
    ("a template is misnamed", "agreements/retail.v2.yaml", RETAIL, "is not named by its id and version"),
    (
        "a purpose is misspelt",
        "agreements/retail.v1.yaml",
        ("purposes: [customer-management", "purposes: [customer-managment"),
        "purposes holds",
    ),
    (
        "the person's rights are agreed",
        "agreements/retail.v1.yaml",
        ("purposes: [", "purposes: [rights-fulfilment, "),
        "rights-fulfilment",
    ),
    (
        "a category stands twice",
        "agreements/retail.v1.yaml",
        ("  - pd:Contact\n", "  - pd:Contact\n  - pd:Contact\n"),
        "categories holds",
    ),
    (
        "nobody receives",
        "agreements/retail.v1.yaml",
        ("recipients: [controller, helpdesk]", "recipients: []"),
        "recipients is empty",
    ),
    ("a text is missing", "texts/retail.v1.en.md", None, "text en is not where its name says"),
    ("a language is missing", "agreements/retail.v1.yaml", (", en: texts/retail.v1.en.md", ""), "texts are in Italian and English"),
    (
        "a consent has no end",
        "agreements/marketing.v1.yaml",
        ("until: P24M", "until: open"),
        "a consent is specific and has a period",
    ),
    ("a consent is matched loosely", "agreements/marketing.v1.yaml", ("match: exact", "match: narrower"), "a consent is specific"),
    (
        "an interest is not weighed",
        "agreements/retail.v1.yaml",
        ("basis: contract", "basis: legitimate_interest"),
        "names its assessment",
    ),
    ("a validity is no period", "agreements/retail.v1.yaml", ("until: open", "until: P"), "validity is from"),
    ("a validity is a number", "agreements/retail.v1.yaml", ("until: open", "until: 12"), "validity is from"),
    ("a validity begins nowhere", "agreements/retail.v1.yaml", ("from: signature", "from: birth"), "validity is from"),
    ("a rule lacks its law", "agreements/retail.v1.yaml", ("    law: [c.c. 2220]\n", ""), "retention 0: members differ"),
    (
        "a rule has another trigger",
        "agreements/retail.v1.yaml",
        ("trigger: agreement-end", "trigger: mood"),
        "retention 0: trigger",
    ),
    (
        "a rule keeps for another purpose",
        "agreements/retail.v1.yaml",
        ("purpose: legal-compliance", "purpose: memory"),
        "retention 0: categories or purpose",
    ),
    (
        "a companion is missing",
        "agreements/retail.v1.yaml",
        ("[legal-obligation@1]", "[legal-obligation@2]"),
        "companion legal-obligation@2 is not",
    ),
    (
        "a template was changed",
        "agreements/retail.v1.yaml",
        ("operations: [consult, use, store]", "operations: [consult, use]"),
        "a template never changes",
    ),
    (
        "a text was changed",
        "texts/marketing.v1.en.md",
        shipped_text("texts/marketing.v1.en.md") + "Fine print.\n",
        "does not say `marketing@1",
    ),
    (
        "a digest is of no template",
        "templates.lock",
        shipped_text("templates.lock") + "old@1 sha256:00\n",
        "is no template of the bundle",
    ),
)

POLICIES: tuple[Row, ...] = (
    (
        "a policy is not formatted",
        "roles/t1.cedar",
        ("permit (\n  principal", "permit (principal"),
        "roles/t1.cedar: is not formatted",
    ),
    ("a policy is no Cedar", "roles/t1.cedar", "permit (\n", "roles/t1.cedar: Cedar cannot read it"),
    ("two policies share an id", "roles/t3.cedar", T1, "each policy has an @id of its own"),
    ("a policy has no id", "roles/t1.cedar", ('@id("t1-identity")\n', ""), "each policy has an @id of its own"),
    ("the schema is no schema", "schema.cedarschema", "namespace Vault {\n", "policies:"),
    ("an attribute does not exist", "gates/x.cedar", policy_with("resource.colour == 1"), "x: for policy"),
    (
        "a reason is of no list",
        "gates/x.cedar",
        policy_with(annotations='@reason("because") @law("a") @owner("b")'),
        "@reason is not",
    ),
    ("a permit gives a refusal", "gates/x.cedar", policy_with(effect="permit"), "x: its @reason is not in the closed list"),
    ("a forbid names no law", "gates/x.cedar", policy_with(annotations='@reason("role") @owner("b")'), "a forbid names its @law"),
    ("a policy has no owner", "gates/x.cedar", policy_with(annotations='@reason("role") @law("a")'), "it has no @owner"),
    (
        "an obligation is unknown",
        "gates/x.cedar",
        policy_with(annotations='@reason("role") @law("a") @owner("b") @obligation("sing")'),
        "sing is unknown",
    ),
    (
        "an annotation is unknown",
        "gates/x.cedar",
        policy_with(annotations='@reason("role") @law("a") @owner("b") @note("c")'),
        "annotation @note",
    ),
    ("a condition calculates", "gates/x.cedar", policy_with("resource.sensitivity + 1 > 2"), "operator + is outside our subset"),
    (
        "a condition looks for a pattern",
        "gates/x.cedar",
        policy_with('resource.class like "f*"'),
        "operator like is outside our subset",
    ),
    (
        "a condition chooses",
        "gates/x.cedar",
        policy_with("if resource.special then true else false"),
        "operator if-then-else is outside",
    ),
    (
        "a channel is misspelt",
        "gates/x.cedar",
        policy_with('context.channel == "pohne"'),
        '"pohne" is not in the closed list of channel',
    ),
    (
        "a channel of a set is misspelt",
        "gates/x.cedar",
        policy_with('["phone", "pohne"].contains(context.channel)'),
        '"pohne" is not in the',
    ),
    ("two words are compared", "gates/x.cedar", policy_with('"a" == "b"'), '"a" is not in the closed list of anything'),
    (
        "a purpose is misspelt in a policy",
        "gates/x.cedar",
        policy_with('context.purpose == Vault::Purpose::"dpv:CustomerCaer"'),
        'Vault::Purpose::"dpv:CustomerCaer" is unknown',
    ),
    ("a role is misspelt", "roles/t1.cedar", ('Vault::Role::"t1"', 'Vault::Role::"tl"'), 'Vault::Role::"tl" is unknown'),
    ("a field is misspelt", "roles/t1.cedar", ('Vault::Field::"iban"', 'Vault::Field::"ibam"'), 'Vault::Field::"ibam" is unknown'),
    (
        "what is not lawful is exempted",
        "gates/rendering.cedar",
        ("when { !context.basis.lawful };", 'when { !context.basis.lawful }\nunless { context.act == "export" };'),
        "deny-no-lawful-basis: must forbid",
    ),
    (
        "what is not lawful is permitted to some",
        "gates/rendering.cedar",
        ("when { !context.basis.lawful };", "when { !context.basis.lawful && context.level < 3 };"),
        "deny-no-lawful-basis: must forbid",
    ),
    ("an exemption is not listed", "exemptions.txt", "deny-office: x\n", "exemptions.txt: does not equal"),
    (
        "an exemption stands twice",
        "gates/x.cedar",
        once(policy_with(), "};", "}\nunless { resource.special }\nunless { resource.clearable };"),
        "exemptions.txt: does not equal",
    ),
)

ALL = (*FILES, *DOCUMENTS, *TEMPLATES, *POLICIES)


@pytest.mark.parametrize(("path", "change", "said"), [row[1:] for row in ALL], ids=[row[0] for row in ALL])
def test_the_lint_finds(path: str, change: Change, said: str, tmp_path: Path) -> None:
    assert any(said in one for one in faults(read_files(altered(tmp_path, {path: made(path, change)}))))


def test_what_is_not_utf8_is_found(tmp_path: Path) -> None:
    directory = altered(tmp_path, {})
    (directory / "texts/retail.v1.it.md").write_bytes(b"\xe8\n")
    assert "texts/retail.v1.it.md: is not UTF-8" in faults(read_files(directory))


def test_an_unsound_bundle_does_not_load(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"limits\.yaml: is missing"):
        load_bundle(altered(tmp_path, {"limits.yaml": None}))


def test_an_exemption_written_out_of_form_is_found(tmp_path: Path) -> None:
    hidden = ("unless { context.breakGlass.approved };", "unless\n// why\n{ context.breakGlass.approved };")
    directory = altered(tmp_path, {"gates/rendering.cedar": made("gates/rendering.cedar", hidden)})
    assert any("deny-break-glass-critical" in one or "is not formatted" in one for one in faults(read_files(directory)))


def test_the_command_prints_faults_and_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(altered(tmp_path, {"limits.yaml": None}))]) == 1
    assert "limits.yaml: is missing" in capsys.readouterr().out
    assert main([str(shipped())]) == 0
    assert capsys.readouterr().out == "the bundle is sound\n"
    assert main([]) == 2
    assert "usage" in capsys.readouterr().err


def test_the_lint_is_a_command() -> None:
    ran = subprocess.run([sys.executable, "-m", "vault.policy.lint", str(shipped())], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, "the bundle is sound\n")
