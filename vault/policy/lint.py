"""The lint: everything about a bundle that can be seen without deciding anything.

Rules, in order: each file belongs and is plain text · every document has its schema, each key once · purposes and categories have
the names and terms that the records of processing say of them (GDPR 30(1)(b), (c)) · the house keeps its records as long as the
law asks at least · notices are whole, and their texts those they name · policies are formatted, strictly valid, in our subset,
named once, with reason and owner, and every literal is in a closed list · exemptions are those of `exemptions.txt` · templates
are complete and their digests those of `templates.lock` · the catalogue is complete.

`python -m vault.policy.lint policies/` prints what it finds and exits with 1 if that is anything.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import cedarpy

from vault.policy import files as bundle_files
from vault.policy.cedar import compiled, world
from vault.policy.decision import OBLIGATIONS, PERMISSIONS, REFUSALS
from vault.policy.inputs import OPERATIONS, TICKET_REFUSALS
from vault.policy.lexicon import TRAINING
from vault.policy.limits import Limits
from vault.policy.literals import OPERATORS, conditions, entities, exemption_lines, exemptions, operators, strings
from vault.policy.model import CHANNELS
from vault.policy.notices import notice_faults, notices_of
from vault.policy.onco import onco_terms_of
from vault.policy.periods import periods_of
from vault.policy.refusing import refusals_of
from vault.policy.regimes import regimes_of
from vault.policy.retention import keeping_of
from vault.policy.templates import catalogue_faults, recipient_faults, template_faults, word_faults

Json = dict[str, Any]

LINE_WIDTH: Final = 120
_SCHEMAS: Final = {
    "catalogue.yaml": "riserbo-catalogue/1",
    "vocabulary.yaml": "riserbo-vocabulary/1",
    "masks.yaml": "riserbo-masks/1",
    "recipients.yaml": "riserbo-recipients/1",
    "limits.yaml": "riserbo-limits/1",
    "regimes.yaml": "riserbo-regimes/1",
    "refusals.yaml": "riserbo-refusals/1",
    "onco_terms.yaml": "riserbo-onco-terms/1",
    "notices.yaml": "riserbo-notices/1",
    "retention.yaml": "riserbo-retention/1",
    "agreements/": "riserbo-template/1",
    "tests/matrix/": "riserbo-matrix/1",
    "plan/": "riserbo-accepted/1",
}
_NEVER_EXEMPT: Final = "deny-no-lawful-basis"
_NOT_LAWFUL: Final = {"!": {"arg": {".": {"left": {".": {"left": {"Var": "context"}, "attr": "basis"}}, "attr": "lawful"}}}}
ACCEPTANCE: Final = ("from", "role", "purpose", "category", "policy", "reason", "owner")
_OF_THE_SCHEMA: Final = ("Vault::Action",)  # the validator knows them


def faults(files: Mapping[str, bytes]) -> list[str]:
    """Return what is wrong, `path: what`, in order; empty for a sound bundle. Later rules wait until earlier ones hold."""
    rules: tuple[Callable[[Mapping[str, bytes]], Iterator[str]], ...] = (
        _file_faults, _document_faults, _limit_faults, _regime_faults, _keeping_faults, _notice_faults, _accepted_faults,
        _word_faults, _catalogue_faults, _template_faults, _form_faults, _policy_faults, _exemption_faults,
    )  # fmt: skip
    for rule in rules:
        found = list(rule(files))
        if found:
            return found
    return []


def main(arguments: Sequence[str]) -> int:
    """Check the bundle in a directory."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m vault.policy.lint DIRECTORY\n")
        return 2
    found = faults(bundle_files.read_files(Path(arguments[0])))
    sys.stdout.write("".join(f"{one}\n" for one in found) or "the bundle is sound\n")
    return 1 if found else 0


def _file_faults(files: Mapping[str, bytes]) -> Iterator[str]:
    yield from (f"{path}: is missing" for path in bundle_files.SINGLE if path not in files)
    for path, octets in files.items():
        if not bundle_files.belongs(path):
            yield f"{path}: is no file of a bundle"
            continue
        try:
            text = octets.decode()
        except UnicodeDecodeError:
            yield f"{path}: is not UTF-8"
            continue
        if text.startswith("\ufeff") or "\r" in text or "\t" in text or not text.endswith("\n"):
            yield f"{path}: is not plain text (no byte order mark, no tabs, LF at the end of each line)"


def _document_faults(files: Mapping[str, bytes]) -> Iterator[str]:
    for path, octets in files.items():
        if path.endswith(".yaml"):
            expected = next(schema for start, schema in _SCHEMAS.items() if path.startswith(start))
            try:
                document = bundle_files.parsed(octets)
            except ValueError as error:
                yield f"{path}: {error}"
                continue
            if not isinstance(document, dict) or document.get("schema") != expected:
                yield f"{path}: is not of schema {expected}"


def _limit_faults(files: Mapping[str, bytes]) -> Iterator[str]:
    try:
        Limits.of(bundle_files.parsed(files["limits.yaml"]))
    except ValueError as error:
        yield f"limits.yaml: {error}"


def _regime_faults(files: Mapping[str, bytes]) -> Iterator[str]:
    try:
        regimes_of(bundle_files.parsed(files["regimes.yaml"]))
        periods_of(bundle_files.parsed(files["regimes.yaml"]))
    except ValueError as error:
        yield f"regimes.yaml: {error}"
    try:
        refusals_of(bundle_files.parsed(files["refusals.yaml"]))
    except ValueError as error:
        yield f"refusals.yaml: {error}"
    try:
        onco_terms_of(bundle_files.parsed(files["onco_terms.yaml"]))
    except ValueError as error:
        yield f"onco_terms.yaml: {error}"


def _keeping_faults(files: Mapping[str, bytes]) -> Iterator[str]:
    try:
        keeping_of(bundle_files.parsed(files["retention.yaml"]))
    except ValueError as error:
        yield f"retention.yaml: {error}"


def _notice_faults(files: Mapping[str, bytes]) -> Iterator[str]:
    try:
        yield from notice_faults(notices_of(bundle_files.parsed(files["notices.yaml"])), files)
    except ValueError as error:
        yield f"notices.yaml: {error}"


def _accepted_faults(files: Mapping[str, bytes]) -> Iterator[str]:
    for path in sorted(files):
        if path.startswith("plan/"):
            accepted = bundle_files.parsed(files[path]).get("widens")
            if not isinstance(accepted, list):
                yield f"{path}: widens is no list"
                continue
            for number, one in enumerate(accepted, 1):
                stated = one if isinstance(one, dict) else {}
                lacking = [name for name in ACCEPTANCE if not isinstance(stated.get(name), str) or not stated[name].strip()]
                yield from (f"{path}: entry {number} says no {name}" for name in lacking)


def _word_faults(files: Mapping[str, bytes]) -> Iterator[str]:
    templates = {path: bundle_files.parsed(files[path]) for path in sorted(files) if path.startswith("agreements/")}
    yield from (f"vocabulary.yaml: {one}" for one in word_faults(bundle_files.parsed(files["vocabulary.yaml"]), templates))


def _catalogue_faults(files: Mapping[str, bytes]) -> Iterator[str]:
    documents = {name: bundle_files.parsed(files[f"{name}.yaml"]) for name in ("catalogue", "vocabulary", "masks", "recipients")}
    yield from (
        f"catalogue.yaml: {one}" for one in catalogue_faults(documents["catalogue"], documents["vocabulary"], documents["masks"])
    )
    yield from (f"recipients.yaml: {one}" for one in recipient_faults(documents["recipients"]))


def _template_faults(files: Mapping[str, bytes]) -> Iterator[str]:
    found = False
    known = {name: bundle_files.parsed(files[f"{name}.yaml"]) for name in ("catalogue", "vocabulary", "recipients")}
    for path in sorted(files):
        if path.startswith("agreements/"):
            for one in template_faults(path, bundle_files.parsed(files[path]), files, known):
                found = True
                yield f"{path}: {one}"
    if not found:
        yield from _lock_faults(files)


def _lock_faults(files: Mapping[str, bytes]) -> Iterator[str]:
    documents = bundle_files.template_documents(files)
    yield from (
        f"{reference}: companion {companion} is not in the bundle"
        for reference, document in documents.items()
        for companion in document["companions"]
        if companion not in documents
    )
    expected = [f"{reference} {bundle_files.template_digest(one)}" for reference, one in sorted(documents.items())]
    stated = files["templates.lock"].decode().splitlines()
    yield from (
        f"templates.lock: does not say `{one}`: a template never changes, a new version does"
        for one in expected
        if one not in stated
    )
    yield from (f"templates.lock: `{one}` is no template of the bundle" for one in stated if one not in expected)


def _form_faults(files: Mapping[str, bytes]) -> Iterator[str]:
    for path, octets in files.items():
        if path.endswith(".cedar"):
            try:
                formatted = cedarpy.format_policies(octets.decode(), line_width=LINE_WIDTH, indent_width=2)
            except ValueError:
                yield f"{path}: Cedar cannot read it"
                continue
            if formatted.rstrip("\n") + "\n" != octets.decode():
                yield f"{path}: is not formatted (cedar format, width {LINE_WIDTH})"


def _policy_faults(files: Mapping[str, bytes]) -> Iterator[str]:
    text = bundle_files.policy_text(files)
    try:
        policies = compiled(text)
        schema = cedarpy.Schema.from_str(files["schema.cedarschema"].decode())
    except ValueError as error:
        yield f"policies: {error}"
        return
    result = cedarpy.validate_policies(text, schema)
    names = result.id_annotations_by_policy_id
    yield from (f"{names.get(one.policy_id, one.policy_id)}: {one.error}" for one in result.errors)
    domains, known = _domains(files), _known(files)
    for name, policy in policies.items():
        yield from (f"{name}: {one}" for one in _annotation_faults(policy))
        yield from (f"{name}: {one}" for one in _literal_faults(policy, domains, known))
    yield from _exemption_from_law(policies)


def _exemption_from_law(policies: Mapping[str, Json]) -> Iterator[str]:
    """What no agreement makes lawful is shown to nobody: the one forbid without exemption."""
    policy = policies.get(_NEVER_EXEMPT, {})
    touches = {"op": "in", "entity": {"type": "Vault::Action", "id": "touch_any"}}
    everywhere = policy.get("principal") == policy.get("resource") == {"op": "All"} and policy.get("action") == touches
    if policy.get("effect") != "forbid" or not everywhere or policy.get("conditions") != [{"kind": "when", "body": _NOT_LAWFUL}]:
        yield f"{_NEVER_EXEMPT}: must forbid every touch when not lawful, of everyone, without exemption"


def _annotation_faults(policy: Json) -> Iterator[str]:
    stated = policy["annotations"]
    reasons = PERMISSIONS if policy["effect"] == "permit" else REFUSALS
    if stated.get("reason") not in reasons:
        yield "its @reason is not in the closed list"
    if not stated.get("owner"):
        yield "it has no @owner"
    if policy["effect"] == "forbid" and not stated.get("law"):
        yield "a forbid names its @law"
    yield from (f"obligation {one} is unknown" for one in (stated.get("obligation") or "").split() if one not in OBLIGATIONS)
    yield from (f"annotation @{one} is unknown" for one in sorted(set(stated) - {"id", "reason", "owner", "law", "obligation"}))


def _literal_faults(policy: Json, domains: Mapping[str | None, Sequence[str]], known: frozenset[tuple[str, str]]) -> Iterator[str]:
    for body in conditions(policy):
        yield from (f"operator {one} is outside our subset" for one in sorted(set(operators(body)) - OPERATORS))
        for attribute, text in strings(body):
            if text not in domains.get(attribute, ()):
                yield f'"{text}" is not in the closed list of {attribute or "anything"}'
    for kind, name in entities(policy):
        if kind not in _OF_THE_SCHEMA and (kind, name) not in known:
            yield f'{kind}::"{name}" is unknown'


def _domains(files: Mapping[str, bytes]) -> dict[str | None, Sequence[str]]:
    lexicon = bundle_files.lexicon_of(files)
    return {
        "act": tuple(OPERATIONS),
        "channel": CHANNELS,
        "basis": lexicon.bases,
        "condition": lexicon.conditions,
        "ticketFault": tuple(TICKET_REFUSALS),
        "consent": ("valid", "withdrawn", "expired", "none"),
        "phase": ("before", "in", "after"),
        "purposeMatch": ("exact", "narrower"),
        "transferTool": ("none", *(one.transfer_tool for one in lexicon.recipients.values())),
        "training": TRAINING,
        "class": tuple(sorted({one.class_name for one in lexicon.fields})),
        "name": tuple(sorted({mask for one in lexicon.fields for mask, _ in one.ladder})),
    }


def _known(files: Mapping[str, bytes]) -> frozenset[tuple[str, str]]:
    return frozenset((one["uid"]["type"], one["uid"]["id"]) for one in world(bundle_files.lexicon_of(files)))


def _exemption_faults(files: Mapping[str, bytes]) -> Iterator[str]:
    text = bundle_files.policy_text(files)
    found = exemptions(text)
    exempting = {name for name, one in compiled(text).items() if any(part["kind"] == "unless" for part in one["conditions"])}
    yield from (f"{name}: write its exemption as one `unless` on its own" for name in sorted(exempting ^ set(found)))
    if exemption_lines(found) != files["exemptions.txt"].decode():
        yield "exemptions.txt: does not equal the exemptions of the policies, which are:\n" + exemption_lines(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
