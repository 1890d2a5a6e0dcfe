"""The register of processing activities as it is handed out: JSON-LD in the words of DPV, and the rows of a table. Pure.

The context is inline: nothing is fetched to read the document. A property whose value is an IRI has an `@type: @id` entry there, or
a parser would read `"dpv:DirectMarketing"` as plain text. The document names the SHA-256 of the table: who signs one, signs both.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import rfc8785

from vault.processing.register import Json

COLUMNS: Final = (
    *("section", "name", "it", "en", "term", "law", "templates", "data_subjects", "categories", "special", "classes", "fields"),
    *("recipients", "party", "role", "country", "transfer_tool", "contract", "contract_valid", "ended", "people"),
    *("first_on", "last_on", "kept", "value"),
)
_IRI_VALUED: Final = (
    *("dpv:hasPurpose", "dpv:hasLegalBasis", "dpv:hasDataSubject", "dpv:hasPersonalData", "dpv:hasRecipient", "dpv:hasLocation"),
    *("vault:transferTool", "vault:keeps", "vault:party", "dpv:hasJurisdiction", "dpv:hasApplicableLaw", "skos:broader"),
)
_PREFIXES: Final = {
    "loc": "https://w3id.org/dpv/loc#",
    "legal-eu": "https://w3id.org/dpv/legal/eu#",
    "dct": "http://purl.org/dc/terms/",
    "skos": "http://www.w3.org/2004/02/skos/core#",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
}


def json_ld(made: Json, prefixes: Mapping[str, str], host: str, table_sha256: str) -> bytes:
    """Return the register as one line of RFC 8785 JSON. `prefixes`: those of the vocabulary; `host`: the vault's public name."""
    base = f"https://{host}/records-of-processing/{made['controller_id']}"
    context = {**prefixes, **_PREFIXES, **{name: {"@id": name, "@type": "@id"} for name in _IRI_VALUED}}
    document: Json = {
        "@context": context,
        "@id": base,
        "@type": "dpv:ROPA",
        "dct:created": made["at"],
        "vault:disclosuresReadUntil": _ours(made["read_until"]),
        "dpv:hasApplicableLaw": "legal-eu:law-GDPR",
        "dpv:hasDataController": _controller(made, base),
        "vault:jointControllers": [_iri(base, name) for name in made["joint_controllers"]],
        "dpv:hasProcess": [_process(one, base) for one in made["activities"]],
        "dpv:hasRecipient": [_recipient(one, base) for one in made["recipients"]],
        "vault:hasTransfer": [_transfer(one, base) for one in made["transfers"]],
        "dpv:hasTechnicalOrganisationalMeasure": _measures(made["measures"]),
        "vault:hasError": [_error(one) for one in made["errors"]],
        "vault:tableSha256": table_sha256,
    }
    return rfc8785.dumps(document)


def rows(made: Json) -> Iterator[Json]:
    """Yield the register as rows of a table with COLUMNS; errors first, for they are to be mended."""
    yield {"section": "register", "name": made["controller_id"], "law": "GDPR 30(1)", "value": made["at"]}
    yield {"section": "register", "name": "disclosures-read-until", "value": made["read_until"]}
    yield from (_error_row(one) for one in made["errors"])
    for name, value in sorted((made["controller"] or {}).items()):
        yield {"section": "controller", "name": name, "law": "GDPR 30(1)(a)", "value": value}
    for name in made["joint_controllers"]:
        yield {"section": "joint-controller", "name": name, "law": "GDPR 30(1)(a)"}
    yield from (_activity_row(one) for one in made["activities"])
    yield from (_recipient_row(one) for one in made["recipients"])
    for one in made["transfers"]:
        yield {
            "section": "transfer", "name": one["recipient"], "law": "GDPR 30(1)(e)", "country": one["country"],
            "transfer_tool": one["tool"],
        }  # fmt: skip
    for name, value in sorted(made["measures"].items()):
        yield {"section": "measure", "name": name, "law": "GDPR 30(1)(g), 32(1)", "value": value}


def _controller(made: Json, base: str) -> Json:
    said = made["controller"] or {"name": made["controller_id"]}
    found = {"@id": f"{base}#controller", "@type": "dpv:DataController", "dpv:hasName": said["name"]}
    if made["controller"] is not None:
        found |= {
            "dpv:hasAddress": said["address"],
            "dpv:hasContact": f"{said['email']}, {said['phone']}",
            "vault:turnTo": said["contact"],
            "dpv:hasJurisdiction": f"loc:{said['jurisdiction']}",
        }
    if said.get("dpo"):
        found["dpv:hasDataProtectionOfficer"] = {"@type": "dpv:DataProtectionOfficer", "dpv:hasContact": said["dpo"]}
    return found


def _process(one: Json, base: str) -> Json:
    return {
        "@id": f"{base}#purpose-{one['purpose']}",
        "@type": "dpv:Process",
        "dpv:hasPurpose": one["term"],
        "skos:prefLabel": _labels(one["labels"]),
        "dpv:hasLegalBasis": one["bases"],
        "vault:templates": one["templates"],
        "vault:assessments": one["assessments"],
        **({"vault:impactAssessments": one["impact_assessments"]} if one["impact_assessments"] else {}),
        "dpv:hasDataSubject": one["data_subjects"],
        "vault:hasData": [_data(data) for data in one["data"]],
        "dpv:hasRecipient": [_iri(base, name) for name in one["recipients"]],
        "dpv:hasStorageCondition": [_storage(kept) for kept in one["storage"]],
    }


def _data(one: Json) -> Json:
    special = ["dpv:SpecialCategoryPersonalData"] if one["special"] else []
    return {
        "@type": ["dpv:PersonalData", *special],
        "dpv:hasPersonalData": one["category"],
        "skos:prefLabel": _labels(one["labels"]),
        "vault:class": one["class"],
        "vault:fields": one["fields"],
    }


def _storage(one: Json) -> Json:
    until_the_end = {"@type": "dpv:UntilEventDuration", "rdf:value": "agreement-end"}
    return {
        "@type": "dpv:StorageCondition",
        "vault:template": one["template"],
        "dpv:hasDuration": until_the_end if one["until"] == "open" else one["until"],
        "vault:duties": [
            {
                "@type": "dpv:StorageDuration", "dpv:hasDuration": rule["period"], "dpv:hasPurpose": rule["purpose"],
                "vault:law": rule["law"], "vault:startsWith": rule["trigger"], "vault:before": rule["before"],
                "vault:keeps": rule["categories"],
            }
            for rule in one["kept"]
        ],
    }  # fmt: skip


def _recipient(one: Json, base: str) -> Json:
    found: Json = {
        "@id": _iri(base, one["recipient"]), "@type": "dpv:Recipient", "dpv:hasName": one["recipient"], "vault:known": one["known"],
        "vault:received": _ours(one["received"]),
    }  # fmt: skip
    if "labels" in one:
        found["skos:prefLabel"] = _labels(one["labels"])
    if "role" in one:
        found |= {
            "vault:party": _iri(base, one["party"]), "vault:role": one["role"], "dpv:hasLocation": f"loc:{one['country']}",
            "vault:contract": one["contract"], "vault:contractValid": one["contract_valid"],
            "vault:subprocessors": one["subprocessors"], "vault:ended": one["ended"],
        }  # fmt: skip
    return found


def _transfer(one: Json, base: str) -> Json:
    found: Json = {"dpv:hasRecipient": _iri(base, one["recipient"])}
    if one["country"] is not None:
        found["dpv:hasLocation"] = f"loc:{one['country']}"
    if one["tool"] is not None:
        found["vault:transferTool"] = f"eu-gdpr:{one['tool']}"
    return found


def _measures(said: Json) -> Json:
    return {"@type": "dpv:TechnicalOrganisationalMeasure", **(_ours({**said, "checkpoint": _ours(said["checkpoint"])}) or {})}


def _error(one: Json) -> Json:
    return {
        "@type": "vault:RegisterError", "vault:code": one["code"], "vault:about": one["about"], "vault:law": one["law"],
        "skos:prefLabel": _labels(one), "vault:firstOn": one["first_on"], "vault:lastOn": one["last_on"],
    }  # fmt: skip


def _iri(base: str, recipient: str) -> str:
    """Return the IRI of a recipient: nobody's name makes it that of an activity, or of the controller."""
    return f"{base}#recipient-{recipient}"


def _ours(said: Mapping[str, Any] | None) -> Json | None:
    """Return members under our own prefix: one without any is dropped by whoever reads the document as JSON-LD."""
    return None if said is None else {f"vault:{name}": value for name, value in said.items()}


def _labels(said: Mapping[str, Any]) -> list[Json]:
    return [{"@language": language, "@value": said[language]} for language in ("it", "en")]


def _error_row(one: Json) -> Json:
    return {
        "section": "ERROR", "name": one["about"], "it": one["it"], "en": one["en"], "law": one["law"], "first_on": one["first_on"],
        "last_on": one["last_on"], "value": one["code"],
    }  # fmt: skip


def _activity_row(one: Json) -> Json:
    data = one["data"]
    special = [part for part in data if part["special"]]
    return {
        "section": "activity", "name": one["purpose"], **one["labels"], "term": one["term"], "law": one["bases"],
        "templates": one["templates"], "data_subjects": one["data_subjects"],
        "categories": _once(part["category"] for part in data), "special": _once(part["category"] for part in special),
        "classes": _once(part["class"] for part in data), "fields": _once(name for part in data for name in part["fields"]),
        "recipients": one["recipients"], "kept": "; ".join(_once(text for kept in one["storage"] for text in _kept(kept))),
        "value": [*one["assessments"], *one["impact_assessments"]],
    }  # fmt: skip


def _kept(one: Json) -> Iterator[str]:
    yield f"{one['template']}: {'agreement-end' if one['until'] == 'open' else one['until']}"
    for rule in one["kept"]:
        yield f"{', '.join(rule['categories'])}: {rule['period']} from {rule['trigger']} ({', '.join(rule['law'])})"


def _recipient_row(one: Json) -> Json:
    went = one["received"] or {}
    shown = ("party", "role", "country", "transfer_tool", "contract", "contract_valid", "ended")
    return {
        "section": "recipient", "name": one["recipient"], **one.get("labels", {}), "law": "GDPR 30(1)(d)",
        **{name: one[name] for name in shown if name in one},
        **{name: went[name] for name in ("fields", "categories", "people", "first_on", "last_on") if name in went},
        "value": one["known"],
    }  # fmt: skip


def _once(words: Iterator[str]) -> list[str]:
    return sorted(set(words))
