"""Cedar: the policies parsed once, the closed world as entities, and keys turned into requests.

Cedar's context is made from the same tuples as the cache keys, so nothing reaches a policy that is not in a key. Allowed means
`Allow` with no error at all: Cedar skips a policy that errs, and a skipped forbid would allow (seen with 4.12.2).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import cedarpy

from vault.policy.groups import Bucket, Distinctions, attributes_of
from vault.policy.inputs import TICKET_REFUSALS, LawKey, ViewKey
from vault.policy.lexicon import ROLES, FieldFacts, Lexicon, Recipient, Terms
from vault.policy.rows import Note, Rung, Verdict

Json = dict[str, Any]

AT_ONCE: Final = 8  # requests a call: the engine holds the interpreter lock, and other threads must not wait for a whole miss
GRAPHS: Final = 32  # the closed world with one caller or agreement beside it, kept: callers of one kind and role look alike here
REGISTERED: Final = "~registered"  # no party's name has a tilde
FAMILIES: Final = {  # requests of one kind are evaluated against the policies that can speak on them, and no others
    "process": "law",
    **dict.fromkeys(("view_clear", "view_masked", "view_token"), "view"),
    "verify": "verify",
    "amend": "amend",
    "find": "find",
    **dict.fromkeys(
        ("enroll", "agree", "narrow", "withdraw", "show_receipt", "show_agreements", "put_ticket", "register_caller"), "verb"
    ),
    **dict.fromkeys(("break_glass", "approve_break_glass", "review_break_glass", "restrict", "lift_restriction"), "verb"),
    **dict.fromkeys(("object", "object_to_marketing", "withdraw_objection", "overrule_objection"), "verb"),
    **dict.fromkeys(("obscure", "lift_obscuring", "record_death", "show_accesses", "erase"), "verb"),
    **dict.fromkeys(("export_subject", "show_export", "download_export"), "verb"),
    **dict.fromkeys(("review-search", "review-open", "review-note", "review-filter", "log-export"), "verb"),
    **dict.fromkeys(("ask_unmask", "approve_unmask", "unmask"), "verb"),
    **dict.fromkeys(("open_request", "show_request", "move_request", "hold", "show_recipients", "show_processing"), "verb"),
    **dict.fromkeys(("show_tasks", "answer_task", "show_retention", "approve_retention", "show_certificate"), "verb"),
    **dict.fromkeys(("rectify", "tell_contact", "forbid_after_death"), "verb"),
    **dict.fromkeys(("serve_notice", "show_served_notices", "show_sources"), "verb"),
    **dict.fromkeys(("open_breach", "advance_breach", "show_breach", "show_affected"), "verb"),
}
GROUPS: Final = {  # of actions, with one of each kind
    "touch_any": ("view_clear", "verify", "amend"),
    "view_any": ("view_clear",),
}
IN: Final = {
    "view_any": ("touch_any",),
    **dict.fromkeys(("view_clear", "view_masked", "view_token"), ("view_any",)),
    **dict.fromkeys(("verify", "amend"), ("touch_any",)),
}
PRINCIPALS: Final = {"agent": "Agent", "system": "System", "subject": "Subject"}


@lru_cache(maxsize=8)  # the lint and whoever loads the bundle ask for the same text, one after the other
def compiled(policies: str) -> Mapping[str, Json]:
    """Return Cedar's JSON form of each policy by its `@id`, to be read only.

    Raises ValueError for what Cedar cannot parse, or ids not unique.
    """
    parsed = json.loads(cedarpy.policies_to_json_str(policies))
    found = {one.get("annotations", {}).get("id"): one for one in parsed["staticPolicies"].values()}
    if parsed["templates"] or None in found or len(found) < len(parsed["staticPolicies"]):
        raise ValueError("each policy has an @id of its own, and none is a template")
    return found


def notes(policies: Mapping[str, Json]) -> dict[str, Note]:
    """Return what each policy's annotations say."""
    return {
        name: Note(one["annotations"]["reason"], _words(one["annotations"].get("obligation"))) for name, one in policies.items()
    }


def families(policies: Mapping[str, Json]) -> dict[str, dict[str, Json]]:
    """Return the policies that can speak on each kind of request, by the actions of their scope. Raises KeyError for others."""
    found: dict[str, dict[str, Json]] = {family: {} for family in sorted(set(FAMILIES.values()))}
    for name, policy in policies.items():
        for action in spoken_on(policy):
            found[FAMILIES[action]][name] = policy
    return found


def spoken_on(policy: Json) -> frozenset[str]:
    """Return the actions of a policy's scope; of a group of actions one of each kind, of no scope all."""
    scope = policy["action"]
    stated = [one["id"] for one in (*scope.get("entities", ()), *([scope["entity"]] if "entity" in scope else ()))]
    return frozenset(one for action in stated or FAMILIES for one in GROUPS.get(action, (action,)))


def distinctions(policies: Mapping[str, Json]) -> Distinctions:
    """Return by what these policies can tell fields apart: where each is named, and which attributes are read.

    The members of one set stand in one place, so nothing tells them apart there.
    """
    places: dict[str, set[str]] = {}
    categories = False
    for name, policy in policies.items():
        for place, entity in _entities(policy, name):
            categories = categories or entity["type"] == "Vault::Category"
            if entity["type"] == "Vault::Field":
                places.setdefault(entity["id"], set()).add(place)
    read = frozenset(attribute for policy in policies.values() for attribute in _read(policy["conditions"]))
    return Distinctions({field: frozenset(one) for field, one in places.items()}, read, categories)


class CedarEngine:
    """Evaluates requests against one bundle, parsed once at construction. Raises ValueError for a bundle that is unsound.

    With `schema` entities and requests are held to it, which a trial wants: what policy is told is what was declared. A running
    vault asks without. Policies were validated when they were signed and read nothing their schema does not declare, so a program
    that tells more than the bundle in force has heard of is answered by that bundle's rules, not refused.
    """

    def __init__(
        self, policies: Mapping[str, Json], lexicon: Lexicon, schema: str | None = None, closed_world: Sequence[Json] | None = None
    ) -> None:
        self._schema = cedarpy.Schema.from_str(schema) if schema is not None else None
        self._policies = {family: _policy_set(some) for family, some in families(policies).items()}
        known = [*(closed_world or world(lexicon)), *(_actions() if schema is None else ())]
        self._world = cedarpy.Entities.from_json_str(json.dumps(known), self._schema)
        self._beside = lru_cache(maxsize=GRAPHS)(self._with)

    def evaluate(self, entities: Sequence[Json], requests: Sequence[Json]) -> list[Verdict]:
        """Return one verdict for each request, with these entities beside the closed world. An error is a verdict, never raised."""
        try:
            graph = self._beside(json.dumps(list(entities)))
            return [verdict for some in _slices(requests) for verdict in self._some(some, graph)]
        except (ValueError, TypeError, RuntimeError):
            return [Verdict(allowed=False, by=(), failed=True)] * len(requests)

    def _with(self, entities: str) -> cedarpy.Entities:
        return self._world.with_added_json_str(entities, self._schema)

    def _some(self, requests: list[Json], graph: cedarpy.Entities) -> list[Verdict]:
        policies = self._policies[FAMILIES[requests[0]["action"]["id"]]]
        return [_verdict(one) for one in cedarpy.is_authorized_batch(requests, policies, graph, self._schema)]


def world(lexicon: Lexicon) -> list[Json]:
    """Return the closed world as Cedar entities."""
    roles = [_entity("Role", role) for role in ROLES]
    regions = [_entity("Region", name, parents=[("Region", one) for one in above]) for name, above in lexicon.regions.items()]
    purposes = [_entity("Purpose", name, parents=[("Purpose", one) for one in above]) for name, above in lexicon.purposes.items()]
    categories = [
        _entity("Category", name, parents=[("Category", one) for one in above]) for name, above in lexicon.categories.items()
    ]
    operations = [_entity("Operation", name) for name in lexicon.operations]
    recipients = [_recipient(name, one) for name, one in lexicon.recipients.items()]
    fields = [_field(one) for one in lexicon.fields]
    return [*roles, *regions, *purposes, *categories, *operations, *recipients, *fields, _entity("Office", "vault")]


def agreement(terms: Terms, key: LawKey) -> Json:
    """Return the agreement of a key as an entity; its id is a constant, never a person's."""
    attributes = {
        "basis": terms.basis,
        "condition": terms.condition,
        "consent": key.consent,
        "phase": key.phase,
        "purposeMatch": terms.purpose_match,
        "purposes": _references("Purpose", terms.purposes),
        "categories": _references("Category", terms.categories),
        "excluded": _references("Field", sorted(terms.excluded | key.excluded)),
        "foreign": _references("Field", sorted(key.foreign)),
        "operations": _references("Operation", terms.operations),
        "recipients": _references("Recipient", terms.recipients),
        "regions": _references("Region", terms.regions),
        "afterRestriction": key.after_restriction,
        "afterObjection": key.after_objection,
    }
    return _entity("Agreement", "agreement", attributes)


def registered(lexicon: Lexicon, key: LawKey) -> list[Json]:
    """Return the recipient of a key as an entity, where it is on the register: as its party, on terms of its own."""
    terms = key.circumstance.terms
    if terms is None:
        return []
    barred = lexicon.recipients[terms.party].barred_from_health
    one = Recipient(REGISTERED, terms.contract_valid, terms.transfer_tool, barred, terms.country)
    return [_recipient(REGISTERED, one, [("Recipient", terms.party)])]


def law_requests(key: LawKey, parts: Sequence[Bucket]) -> list[Json]:
    """Return gate 1's requests: this agreement, each bucket of fields."""
    one = key.circumstance
    shared = {
        "purpose": _reference("Purpose", one.purpose),
        "operation": _reference("Operation", one.operation),
        "region": _reference("Region", one.region),
        "actsForSubject": one.acts_for_subject,
        "objected": one.objected,
        "objectedToMarketing": one.objected_marketing,
        "minor": one.minor,
        "timeBarred": one.time_barred,
        "deceased": one.deceased,
    }
    return [
        {
            "principal": _uid("Recipient", one.recipient if one.terms is None else REGISTERED),
            "action": _uid("Action", "process"),
            "resource": _uid("Agreement", "agreement"),
            "context": {
                **shared,
                "field": _reference("Field", part.field.name),
                "restricted": part.field.name in one.restricted,
            },
        }
        for part in parts
    ]


def principal(kind: str, roles: frozenset[str], training: frozenset[str]) -> Json:
    """Return the caller as an entity. A role that is not in the closed list is no role."""
    attributes = {"training": sorted(training)} if kind == "agent" else {}
    parents = [] if kind == "subject" else [("Role", role) for role in ROLES if role in roles]
    return _entity(PRINCIPALS[kind], "caller", attributes, parents)


def view_requests(key: ViewKey, ladders: Sequence[tuple[Bucket, Sequence[Rung]]]) -> list[Json]:
    """Return gate 2's requests: the rungs of each bucket, in order."""
    caller = _uid(PRINCIPALS[key.principal], "caller")
    return [
        {
            "principal": caller,
            "action": _uid("Action", rung.action),
            "resource": _uid("Field", part.field.name),
            "context": _rendering(key, part, rung),
        }
        for part, ladder in ladders
        for rung in ladder
    ]


def verb_request(verb: str, key: ViewKey) -> Json:
    """Return the request of a verb that shows no field."""
    context = {**_occasion(key), "isSelf": key.is_self, "level": key.level, "requestAccepted": key.request_accepted}
    return {
        "principal": _uid(PRINCIPALS[key.principal], "caller"),
        "action": _uid("Action", verb),
        "resource": _uid("Office", "vault"),
        "context": context,
    }


def _occasion(key: ViewKey) -> Json:
    stated: Json = {"purpose": _reference("Purpose", key.purpose), "channel": key.channel}
    if key.ticket in ("asserted", "verified"):
        stated["ticket"] = {"verified": key.ticket == "verified", "assigned": key.assigned}
    return stated


def _rendering(key: ViewKey, part: Bucket, rung: Rung) -> Json:
    if rung.action == "find":
        return _occasion(key)
    position = part.positions[0]
    context = {
        **_occasion(key),
        "act": key.act,
        "callerVerified": key.caller_verified,
        "level": key.level,
        "stepUp": key.step_up,
        "subject": {
            "minor": key.minor,
            "restricted": part.field.name in key.restricted,
            "isSelf": key.is_self,
            "inCare": key.in_care,
            "requestAccepted": key.accepted_of(part.field.name),
        },
        "basis": {"lawful": bool(key.lawful >> position & 1), "afterRestriction": bool(key.after_restriction >> position & 1)},
    }
    if key.ticket in TICKET_REFUSALS:
        context["ticketFault"] = key.ticket
    if rung.mask is not None:
        context["mask"] = {"name": rung.mask[0], "strength": rung.mask[1]}
    if key.break_glass != "none":
        context["breakGlass"] = {"approved": key.break_glass == "approved"}
    return context


def _verdict(result: cedarpy.AuthzResult) -> Verdict:
    errors = list(result.diagnostics.errors)
    by = tuple(sorted(result.diagnostics.reasons))
    failed = bool(errors) or result.decision not in (cedarpy.Decision.Allow, cedarpy.Decision.Deny)
    return Verdict(allowed=result.decision is cedarpy.Decision.Allow and not failed, by=by, failed=failed)


def _policy_set(policies: Mapping[str, Json]) -> cedarpy.PolicySet:
    return cedarpy.PolicySet.from_json_str(json.dumps({"staticPolicies": dict(policies), "templates": {}, "templateLinks": []}))


def _slices(requests: Sequence[Json]) -> Iterator[list[Json]]:
    for start in range(0, len(requests), AT_ONCE):
        yield list(requests[start : start + AT_ONCE])


def _entities(node: Any, place: str) -> Iterator[tuple[str, Json]]:
    """Yield every entity literal with its place."""
    if isinstance(node, list):
        for number, one in enumerate(node):
            yield from _entities(one, f"{place}/{number}")
    elif isinstance(node, dict):
        for name, one in node.items():
            if name in ("__entity", "entity"):
                yield place, one
            elif name == "Set":
                for member in one:
                    yield from _entities(member, f"{place}/Set")
            else:
                yield from _entities(one, f"{place}/{name}")


def _read(node: Any) -> Iterator[str]:
    """Yield the name of every attribute that is read."""
    if isinstance(node, list):
        for one in node:
            yield from _read(one)
    elif isinstance(node, dict):
        yield from (operands["attr"] for operator, operands in node.items() if operator == ".")
        for one in node.values():
            yield from _read(one)


def _words(annotation: str | None) -> tuple[str, ...]:
    return tuple((annotation or "").split())


def _actions() -> list[Json]:
    """Return each action with the groups it is in, for an engine that has no schema to know them from."""
    return [_entity("Action", name, parents=[("Action", one) for one in IN.get(name, ())]) for name in (*FAMILIES, *GROUPS)]


def _field(one: FieldFacts) -> Json:
    return _entity("Field", one.name, attributes_of(one), [("Category", one.category)])


def _recipient(name: str, one: Recipient, parents: Sequence[tuple[str, str]] = ()) -> Json:
    country = {"country": _reference("Region", one.country)} if one.country else {}
    stated = {"contractValid": one.contract_valid, "transferTool": one.transfer_tool, "barredFromHealth": one.barred_from_health}
    return _entity("Recipient", name, {**stated, **country}, parents)


def _uid(kind: str, name: str) -> Json:
    return {"type": f"Vault::{kind}", "id": name}


def _reference(kind: str, name: str) -> Json:
    return {"__entity": _uid(kind, name)}


def _references(kind: str, names: Sequence[str]) -> list[Json]:
    return [_reference(kind, name) for name in names]


def _entity(kind: str, name: str, attributes: Json | None = None, parents: Sequence[tuple[str, str]] = ()) -> Json:
    return {"uid": _uid(kind, name), "attrs": attributes or {}, "parents": [_uid(*one) for one in parents]}
