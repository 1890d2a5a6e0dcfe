"""The register of processing activities (GDPR 30(1)): what is in force, what the trail shows to have happened, where they differ.

By letter of Art. 30(1):

(a) controller and joint controllers, as they say of themselves; (b) one activity for each purpose that templates in force allow,
the narrower ones counted, and for people's own rights, which every agreement implies; (c) customers, and the fields those templates
grant, by category; (d) the parties of the policy, the register of recipients, and whoever actually received something;
(e) transfers by country and tool; (f) the templates' own periods and duties to keep; (g) how data are kept safe, in general.

Where rules and facts differ there is an error, never an omission. Pure: the same facts give the same register.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

Json = dict[str, Any]

RIGHTS: Final = "rights-fulfilment"
SUBJECTS: Final = "dpv:Customer"
HOUSE: Final = frozenset({"subject", "controller"})  # the person and the controller are no recipients of their own
ALGORITHMS: Final = ("AES-256-GCM", "HMAC-SHA256", "Ed25519", "SHA-256")
ERRORS: Final[Mapping[str, tuple[str, str, str]]] = {  # law, Italian, English
    "controller-not-described": ("GDPR 30(1)(a)", "Il titolare non è descritto", "The controller is not described"),
    "purpose-without-template": (
        "GDPR 5(1)(b), 30(1)(b)", "Finalità in uso che nessun modello in vigore prevede",
        "A purpose in use that no template in force allows",
    ),
    "recipient-not-registered": (
        "GDPR 30(1)(d)", "Ha ricevuto dati e non è nel registro dei destinatari",
        "Received data and is not on the register of recipients",
    ),
    "transfer-without-tool": (
        "GDPR 44, 30(1)(e)", "Fuori dal SEE senza strumento di trasferimento", "Outside the EEA without a transfer tool",
    ),
    "processor-without-agreement": (
        "GDPR 28(3)", "Responsabile senza contratto in vigore", "A processor without an agreement in force",
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ruled:
    """The bundle in force: documents as parsed; by template (`id@version`) the fields it grants and the purposes it allows."""

    digest: str
    vocabulary: Mapping[str, Any]
    fields: Mapping[str, Any]
    parties: Mapping[str, Any]
    templates: Mapping[str, Any]
    granted: Mapping[str, Collection[str]]
    allowed: Mapping[str, Collection[str]]
    roles: Sequence[str]


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of the register of recipients; `contract_valid`: its processing agreement is in force, or none is needed (28)."""

    name: str
    party: str
    role: str
    country: str
    transfer_tool: str
    contract: str | None
    contract_valid: bool
    subprocessors: Sequence[str]
    ended: bool


@dataclass(frozen=True, slots=True)
class Received:
    """What went to one recipient, of how many people. Instants in ms since 1970."""

    recipient: str
    fields: Collection[str]
    people: int
    first_at: int
    last_at: int


@dataclass(frozen=True, slots=True)
class Used:
    """A purpose for which something was shown. Instants in ms since 1970."""

    purpose: str
    first_at: int
    last_at: int


@dataclass(frozen=True, slots=True)
class Secured:
    """How data are kept safe: which keyring, how old the keys are, the newest signed checkpoint where there is one."""

    keyring: str
    keys_elsewhere: bool
    epoch: int
    epoch_days: int
    checkpoint: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the register is made of. `controller`: what it says of itself, None where it says nothing.

    `read_until`: era and position up to which the trail was read for what went out; None before it ever was.
    """

    controller_id: str
    at: datetime
    controller: Mapping[str, Any] | None
    ruled: Ruled
    listed: Sequence[Listed]
    received: Sequence[Received]
    read_until: tuple[int, int] | None
    used: Sequence[Used]
    secured: Secured


def register(facts: Facts) -> Json:
    """Return the register, its lists in the order of names."""
    return {
        "controller_id": facts.controller_id,
        "at": facts.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "read_until": None if facts.read_until is None else {"era": facts.read_until[0], "position": facts.read_until[1]},
        "controller": None if facts.controller is None else dict(facts.controller),
        "joint_controllers": sorted(one.name for one in facts.listed if one.role == "joint-controller" and not one.ended),
        "activities": [_activity(facts, purpose) for purpose in active_purposes(facts.ruled)],
        "recipients": [_recipient(facts, name) for name in _names(facts)],
        "transfers": list(_transfers(facts)),
        "measures": _measures(facts),
        "errors": [_error(*one) for one in sorted(_errors(facts))],
    }


def active_purposes(ruled: Ruled) -> list[str]:
    """Return the purposes that templates in force allow, and that of people's own rights."""
    implied = {RIGHTS} & ruled.vocabulary["purposes"].keys()
    return sorted({purpose for allowed in ruled.allowed.values() for purpose in allowed} | implied)


def unruled(ruled: Ruled, purposes: Iterable[str]) -> list[str]:
    """Return those of these purposes that no template in force allows."""
    return sorted(set(purposes) - set(active_purposes(ruled)))


def _activity(facts: Facts, purpose: str) -> Json:
    ruled = facts.ruled
    names = sorted(name for name in ruled.templates if purpose == RIGHTS or purpose in ruled.allowed[name])
    templates = [ruled.templates[name] for name in names]
    said = ruled.vocabulary["purposes"][purpose]
    own = purpose == RIGHTS
    return {
        "purpose": purpose,
        "term": said["term"],
        "labels": dict(said["labels"]),
        "templates": names,
        "bases": _bases(ruled, [] if own else templates),
        "assessments": [] if own else sorted({one["assessment"] for one in templates if one["assessment"] is not None}),
        "impact_assessments": [] if own else _impact_assessments(ruled, purpose, templates),
        "data_subjects": [SUBJECTS],
        "data": _data(ruled, {field for name in names for field in ruled.granted[name]}),
        "recipients": [] if own else _recipients_of(facts, templates),
        "storage": [_storage(ruled, name) for name in names],
    }


def _impact_assessments(ruled: Ruled, purpose: str, templates: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the impact assessments (GDPR 35) that the templates name, the purpose, or one it is narrower than."""
    purposes, reached = ruled.vocabulary["purposes"], [purpose]
    for name in reached:  # grows as it is read, by what is broader than what was reached
        reached += [above for above in purposes[name]["broader"] if above not in reached]
    naming = [*(purposes[name] for name in reached), *templates]
    return sorted({reference for one in naming for reference in one.get("impact_assessments", ())})


def _bases(ruled: Ruled, templates: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the grounds in law: of Art. 6(1), then of Art. 9(2). Rights are a duty of the controller (Art. 12 to 22)."""
    words = ruled.vocabulary
    bases = {words["bases"][one["basis"]]["term"] for one in templates} or {words["bases"]["legal_obligation"]["term"]}
    conditions = {words["conditions"][one["condition"]]["term"] for one in templates if one["condition"] != "none"}
    return [*sorted(bases), *sorted(conditions)]


def _data(ruled: Ruled, fields: Collection[str]) -> list[Json]:
    """Return the fields by category; a category whose fields have several classes stands once for each."""
    found: dict[tuple[str, str], list[str]] = {}
    for name in sorted(fields):
        one = ruled.fields[name]
        found.setdefault((one["category"], one["class"]), []).append(name)
    return [
        {
            "category": category, "labels": dict(ruled.vocabulary["categories"][category]["labels"]), "class": class_name,
            "special": any(ruled.fields[name]["special"] for name in names), "fields": names,
        }
        for (category, class_name), names in sorted(found.items())
    ]  # fmt: skip


def _recipients_of(facts: Facts, templates: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return whom the templates name, and who stands for one of these parties on the register."""
    parties = {party for one in templates for party in one["recipients"]} - HOUSE
    return sorted(parties | {one.name for one in facts.listed if one.party in parties and not one.ended})


def _storage(ruled: Ruled, name: str) -> Json:
    one = ruled.templates[name]
    return {
        "template": name,
        "until": one["validity"]["until"],
        "kept": [
            {
                "categories": list(rule["categories"]), "purpose": ruled.vocabulary["purposes"][rule["purpose"]]["term"],
                "trigger": rule["trigger"], "period": rule["period"], "law": list(rule["law"]), "before": rule["before"],
            }
            for rule in one["retention"]
        ],
    }  # fmt: skip


def _names(facts: Facts) -> list[str]:
    known = facts.ruled.parties.keys() - HOUSE
    return sorted(known | {one.name for one in facts.listed} | {one.recipient for one in facts.received})


def _recipient(facts: Facts, name: str) -> Json:
    line = next((one for one in facts.listed if one.name == name), None)
    stated = facts.ruled.parties.get(name)
    went = next((one for one in facts.received if one.recipient == name), None)
    terms = {} if line is None else {
        "party": line.party, "role": line.role, "country": line.country, "transfer_tool": line.transfer_tool,
        "contract": line.contract, "contract_valid": line.contract_valid, "subprocessors": list(line.subprocessors),
        "ended": line.ended,
    }  # fmt: skip
    of_policy = {} if stated is None else {"labels": dict(stated["labels"]), "transfer_tool": stated["transfer_tool"]}
    return {
        "recipient": name,
        "known": "registered" if line is not None else "party" if stated is not None else "unknown",
        **of_policy,
        **terms,
        "received": None if went is None else _received(facts.ruled, went),
    }


def _received(ruled: Ruled, went: Received) -> Json:
    fields = sorted(went.fields)
    return {
        "fields": fields, "categories": sorted({ruled.fields[name]["category"] for name in fields if name in ruled.fields}),
        "people": went.people, "first_on": _day(went.first_at), "last_on": _day(went.last_at),
    }  # fmt: skip


def _transfers(facts: Facts) -> Iterator[Json]:
    """Yield what leaves the EEA: recipients on the register by country; a party of the policy that has a tool."""
    adequate = set(facts.ruled.vocabulary["regions"]["ADEQUATE"]["states"])
    for line in sorted(facts.listed, key=lambda one: one.name):
        if not line.ended and _leaves(facts.ruled, line.country):
            by_decision = "A45-3" if line.country in adequate else None
            tool = line.transfer_tool if line.transfer_tool != "none" else by_decision
            yield {"recipient": line.name, "country": line.country, "tool": tool}
    listed = {one.name for one in facts.listed}
    for name, one in sorted(facts.ruled.parties.items()):
        if name not in listed and one["transfer_tool"] != "none":
            yield {"recipient": name, "country": None, "tool": one["transfer_tool"]}


def _leaves(ruled: Ruled, country: str) -> bool:
    return country not in ruled.vocabulary["regions"]["EEA"]["states"]


def _measures(facts: Facts) -> Json:
    secured = facts.secured
    return {
        "keyring": secured.keyring, "keys_elsewhere": secured.keys_elsewhere, "algorithms": list(ALGORITHMS),
        "epoch": secured.epoch, "epoch_days": secured.epoch_days, "roles": sorted(facts.ruled.roles),
        "policy": facts.ruled.digest, "checkpoint": None if secured.checkpoint is None else dict(secured.checkpoint),
    }  # fmt: skip


def _errors(facts: Facts) -> Iterator[tuple[str, str, str, str]]:
    """Yield code, what it is about, and since and until when, as days; empty where no day is known."""
    if facts.controller is None:
        yield "controller-not-described", facts.controller_id, "", ""
    none = set(unruled(facts.ruled, [one.purpose for one in facts.used]))
    yield from (
        ("purpose-without-template", one.purpose, _day(one.first_at), _day(one.last_at))
        for one in facts.used
        if one.purpose in none
    )
    known = facts.ruled.parties.keys() | {one.name for one in facts.listed} | HOUSE
    yield from (
        ("recipient-not-registered", one.recipient, _day(one.first_at), _day(one.last_at))
        for one in facts.received
        if one.recipient not in known
    )
    tools = {one["recipient"]: one["tool"] for one in _transfers(facts)}
    yield from (("transfer-without-tool", name, "", "") for name, tool in tools.items() if tool is None)
    yield from (
        ("processor-without-agreement", one.name, "", "") for one in facts.listed if not one.ended and not one.contract_valid
    )


def _error(code: str, about: str, first_on: str, last_on: str) -> Json:
    law, italian, english = ERRORS[code]
    return {
        "code": code, "about": about, "law": law, "it": italian, "en": english,
        "first_on": first_on or None, "last_on": last_on or None,
    }  # fmt: skip


def _day(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).date().isoformat()
