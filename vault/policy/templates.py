"""Faults of the documents a policy speaks about: templates, the catalogue, the register of recipients. Pure.

Only what policy rests on is checked here: closed lists, and members complete. What the values of a type look like is the
catalogue's own reader's, what a validity means is the agreement terms'.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

Json = Mapping[str, Any]

_TEMPLATE: Final = frozenset(
    {
        *(
            "schema",
            "id",
            "version",
            "basis",
            "condition",
            "purposes",
            "purpose_match",
            "categories",
            "excluded_fields",
            "operations",
        ),
        *("recipients", "regions", "validity", "dependent", "online_service", "assessment", "retention", "companions", "texts"),
    }
)
_FIELD: Final = frozenset(
    {
        *("type", "category", "class", "sensitivity", "special", "masks", "search", "index", "unique", "verify", "origin", "clear"),
        *("never_to_subject", "time_barred", "labels"),
    }
)
_RULE: Final = frozenset({"categories", "purpose", "trigger", "period", "law", "code", "before"})
_TRIGGERS: Final = ("agreement-end", "last-entry", "collection", "relationship-end", "claim-closed", "receipt")
_LANGUAGES: Final = {"it", "en"}
_PERIOD: Final = re.compile(r"P(?=[0-9])([0-9]+Y)?([0-9]+M)?([0-9]+W)?([0-9]+D)?")
_TRANSFER: Final = re.compile(r"none|A4[56](-[0-9])?(-[a-z])?|A49-1-[a-g]")
_REFERENCE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}")
_CARD_SECRET: Final = re.compile(r"(^|_)(cvv2?|cvc2?|cid|pin|track[0-9]*)(_|$)")
_CARD_MASKS: Final = ["card_bin_last4", "card_last4"]  # BIN and last four are the most PCI DSS 3.4.1 lets anybody see


def template_faults(path: str, one: Json, files: Mapping[str, bytes], known: Mapping[str, Json]) -> Iterator[str]:
    """Yield what is wrong with one template; `known` are the documents catalogue, vocabulary and recipients."""
    if set(one) - {"impact_assessments"} != _TEMPLATE:
        yield f"members differ: {', '.join(sorted((set(one) - {'impact_assessments'}) ^ _TEMPLATE))}"
        return
    if path != f"agreements/{one['id']}.v{one['version']}.yaml":
        yield "is not named by its id and version"
    yield from _closed_lists(one, known)
    yield from _text_faults(one, files)
    yield from _reference_faults(one)
    if one["basis"] == "consent" and (one["purpose_match"] != "exact" or one["validity"].get("until") == "open"):
        yield "a consent is specific and has a period: exact matching, and an end"
    if one["basis"] == "legitimate_interest" and not one["assessment"]:
        yield "a legitimate interest names its assessment"
    if one["validity"].get("from") not in ("signature", "trigger") or not _is_period(one["validity"].get("until")):
        yield "validity is from signature or trigger, until `open` or an ISO 8601 period"
    for number, rule in enumerate(one["retention"]):
        yield from (f"retention {number}: {fault}" for fault in _rule_faults(rule, known["vocabulary"]))


def catalogue_faults(catalogue: Json, vocabulary: Json, masks: Json) -> Iterator[str]:
    """Yield what is wrong with the catalogue where policy rests on it."""
    for name, one in catalogue["fields"].items():
        if set(one) - {"values"} != _FIELD:
            yield f"{name}: members differ: {', '.join(sorted((set(one) - {'values'}) ^ _FIELD))}"
            continue
        if _CARD_SECRET.search(name):
            yield f"{name}: is never taken (PCI DSS 3.3.1)"
        if one["category"] not in vocabulary["categories"]:
            yield f"{name}: category is not in the vocabulary"
        if one["class"] not in catalogue["classes"] or (one["class"] == "special") != one["special"]:
            yield f"{name}: class `special` holds special-category data, and nothing else does"
        unfit = [mask for mask in one["masks"] if one["type"] not in masks["masks"].get(mask, {"types": []})["types"]]
        if unfit or (one["type"] == "card" and one["masks"] != _CARD_MASKS):
            yield f"{name}: masks are not of its type"
    yield from (f"vocabulary: {fault}" for fault in _edge_faults(vocabulary))


def word_faults(vocabulary: Json, templates: Mapping[str, Json]) -> Iterator[str]:
    """Yield what the records of processing (GDPR 30(1)(b), (c)) could not say of a purpose or a category; `templates` by path."""
    for kind, singular in (("purposes", "purpose"), ("categories", "category")):
        for name, one in vocabulary[kind].items():
            users = [path for path, template in templates.items() if name in _named(template, kind)]
            using = f", which {', '.join(users)} {'uses' if len(users) == 1 else 'use'}," if users else ""
            yield from (f"{singular} {name}{using} {fault}" for fault in _word_faults(name, kind, one, vocabulary["prefixes"]))


def recipient_faults(document: Json) -> Iterator[str]:
    """Yield what is wrong with the register of recipients."""
    for name, one in document["recipients"].items():
        if set(one) != {"contract", "transfer_tool", "barred_from_health", "labels"} or set(one["labels"]) != _LANGUAGES:
            yield f"{name}: members differ"
        elif one["contract"] not in ("valid", "none", "not-needed") or not isinstance(one["barred_from_health"], bool):
            yield f"{name}: contract is valid, none or not-needed; barred_from_health true or false"
        elif not _TRANSFER.fullmatch(one["transfer_tool"]):
            yield f"{name}: transfer_tool is none or an article"
    if "subject" not in document["recipients"]:
        yield "subject: the person is a recipient of their own data"


def _closed_lists(one: Json, known: Mapping[str, Json]) -> Iterator[str]:
    words = known["vocabulary"]
    purposes = {purpose for purpose in words["purposes"] if purpose != "rights-fulfilment"}  # every agreement implies it already
    lists: Mapping[str, tuple[list[str], set[str]]] = {
        "basis": ([one["basis"]], set(words["bases"])),
        "condition": ([one["condition"]], {"none", *words["conditions"]}),
        "purpose_match": ([one["purpose_match"]], {"exact", "narrower"}),
        "purposes": (one["purposes"], purposes),
        "categories": (one["categories"], set(words["categories"])),
        "excluded_fields": (one["excluded_fields"], set(known["catalogue"]["fields"])),
        "operations": (one["operations"], set(words["operations"])),
        "recipients": (one["recipients"], set(known["recipients"]["recipients"])),
        "regions": (
            one["regions"],
            {*words["regions"], *(state for group in words["regions"].values() for state in group["states"])},
        ),
    }
    for name, (stated, allowed) in lists.items():
        if not set(stated) <= allowed or len(set(stated)) < len(stated):
            yield f"{name} holds what is not in its closed list, or twice: {', '.join(sorted(set(stated) - allowed))}"
    yield from (f"{name} is empty" for name in ("purposes", "categories", "operations", "recipients", "regions") if not one[name])


def _text_faults(one: Json, files: Mapping[str, bytes]) -> Iterator[str]:
    if set(one["texts"]) != _LANGUAGES:
        yield "texts are in Italian and English"
    for language, path in one["texts"].items():
        if path != f"texts/{one['id']}.v{one['version']}.{language}.md" or path not in files:
            yield f"text {language} is not where its name says"


def _rule_faults(rule: Json, vocabulary: Json) -> Iterator[str]:
    if set(rule) != _RULE:
        yield "members differ"
        return
    if not set(rule["categories"]) <= set(vocabulary["categories"]) or rule["purpose"] not in vocabulary["purposes"]:
        yield "categories or purpose are not in the vocabulary"
    if rule["trigger"] not in _TRIGGERS or rule["before"] not in ("archive", "none") or not _PERIOD.fullmatch(rule["period"]):
        yield "trigger, before or period is not one of its list"


def _named(template: Json, kind: str) -> set[Any]:
    """Return the words a template names, purposes of its duties to keep included; nothing of a misshapen one."""
    stated = template.get(kind)
    rules = [rule for rule in template.get("retention") or () if isinstance(rule, dict)]
    kept = {rule.get("purpose") for rule in rules} if kind == "purposes" else set()
    return {*stated, *kept} if isinstance(stated, list) else set()


def _reference_faults(one: Json) -> Iterator[str]:
    """Yield where impact assessments (GDPR 35) are not named as what they are: references, never their text."""
    named = one.get("impact_assessments", ["none"])
    if not isinstance(named, list) or not named or not all(isinstance(name, str) and _REFERENCE.fullmatch(name) for name in named):
        yield "impact_assessments are references, or the member is left out"


def _word_faults(name: str, kind: str, one: Any, prefixes: Mapping[str, str]) -> Iterator[str]:
    if not isinstance(one, dict) or not isinstance(one.get("broader"), list):
        yield "has no list `broader`"
        return
    labels = one.get("labels")
    said = labels if isinstance(labels, dict) else {}
    for language in sorted(_LANGUAGES):
        if not isinstance(said.get(language), str) or not said[language].strip():
            yield f"has no label in `{language}`"
    prefix, _, local = str(one.get("term") if kind == "purposes" else name).partition(":")
    if kind == "purposes":
        yield from _reference_faults(one)
    if not local or one.get("iri") != f"{prefixes.get(prefix)}{local}":
        yield "has no term of a prefix of the vocabulary whose IRI is `iri`"


def _edge_faults(vocabulary: Json) -> Iterator[str]:
    for kind in ("purposes", "categories"):
        terms = vocabulary[kind]
        yield from (f"{name}: {above} is no term" for name, one in terms.items() for above in one["broader"] if above not in terms)


def _is_period(until: Any) -> bool:
    return until == "open" or (isinstance(until, str) and _PERIOD.fullmatch(until) is not None)
