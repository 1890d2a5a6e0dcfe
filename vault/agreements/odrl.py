"""The terms of a template as an ODRL 2.2 policy in JSON-LD, for machines that compare terms. Pure.

A `Set` (W3C ODRL 2.2, section 2.1.1): it names no parties, since a template is everybody's. What is agreed is a permission over the
named categories, under constraints that must all hold; what the law makes the controller keep is a second one; fields left out are
a prohibition. It describes: what decides is policy.
"""

from typing import Any, Final

import rfc8785

from vault.agreements.terms import OPEN
from vault.agreements.wording import PREFIXES, Retention, Wording

Json = dict[str, Any]

PROFILE: Final = "https://riserbo.dev/ns#odrl"
_NAMES: Final = ("profile", "target", "action", "leftOperand", "operator", "uid")  # members whose value is an IRI
CONTEXT: Final[Json] = {
    **PREFIXES,
    "odrl": "http://www.w3.org/ns/odrl/2/",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
    **{f"odrl:{name}": {"@id": f"odrl:{name}", "@type": "@id"} for name in _NAMES},
}


def odrl_policy(host: str, wording: Wording) -> bytes:
    """Return the terms as one RFC 8785 line."""
    iri = f"https://{host}/templates/{wording.id}/{wording.version}"
    policy: Json = {
        "@context": CONTEXT,
        "@id": iri,
        "@type": "odrl:Set",
        "odrl:uid": iri,
        "odrl:profile": PROFILE,
        "vault:sha256": wording.digest.hex(),
        "odrl:permission": [_agreed(wording), *(_kept(one) for one in wording.retention)],
    }
    if wording.excluded:
        fields = [f"vault:field/{one}" for one in wording.excluded]
        policy["odrl:prohibition"] = [
            {"@type": "odrl:Prohibition", "odrl:target": fields, "odrl:action": sorted(wording.operations)}
        ]
    return rfc8785.dumps(policy)


def _agreed(wording: Wording) -> Json:
    constraints = [
        _constraint("odrl:purpose", "odrl:isAnyOf", [{"@id": one} for one in wording.purposes]),
        _constraint("odrl:recipient", "odrl:isAnyOf", [{"@id": f"vault:recipient/{one}"} for one in wording.recipients]),
        _constraint("odrl:spatial", "odrl:isAnyOf", list(wording.regions)),
        *(_constraint("vault:legalBasis", "odrl:eq", {"@id": one}) for one in wording.bases),
    ]
    if wording.validity != OPEN:
        constraints.append(_within(wording.validity))
    return _permission([one.term for one in wording.categories], sorted(wording.operations), constraints)


def _kept(duty: Retention) -> Json:
    constraints = [
        _constraint("odrl:purpose", "odrl:eq", {"@id": duty.purpose}),
        _constraint("odrl:event", "odrl:gt", {"@id": f"vault:{duty.trigger}"}),
        _within(duty.period),
    ]
    return {**_permission(list(duty.categories), ["dpv:Store"], constraints), "vault:law": list(duty.law)}


def _permission(targets: list[str], actions: list[str], constraints: list[Json]) -> Json:
    return {"@type": "odrl:Permission", "odrl:target": targets, "odrl:action": actions, "odrl:constraint": constraints}


def _constraint(operand: str, operator: str, value: Any) -> Json:
    return {"@type": "odrl:Constraint", "odrl:leftOperand": operand, "odrl:operator": operator, "odrl:rightOperand": value}


def _within(period: str) -> Json:
    return _constraint("odrl:elapsedTime", "odrl:lteq", {"@value": period, "@type": "xsd:duration"})
