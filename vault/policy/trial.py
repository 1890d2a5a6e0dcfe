"""Trying a bundle: every case of its matrix, and what must hold whatever the matrix says.

Invariants, over a grid of the contexts of the table of roles, tickets, channels, acts, and one thing changed: special data are
shown to care, the person, their request and an approved exception only (GDPR Art. 9) · what is not lawful is withheld (Art. 6) ·
a chat never shows more than a call · an asserted ticket never shows more than a verified one · a ticket that is closed, somebody
else's or about somebody else shows nothing · those who govern and run the vault see nothing (Art. 38(6)).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2b
from itertools import product
from typing import Any, Final

import orjson

from vault.errors import ContextIncomplete
from vault.policy import cedar, matrix
from vault.policy.bundle import Bundle
from vault.policy.engine import VERBS, Policy, PolicyEngine
from vault.policy.files import parsed
from vault.policy.groups import Bucket
from vault.policy.inputs import OFFICE, TICKET_REFUSALS, LawKey, ViewKey, circumstance, law_key
from vault.policy.lexicon import ROLES
from vault.policy.model import Act
from vault.policy.remembering import Memory, Remembering
from vault.policy.rows import EngineFault, Rung, Verdict, View, sound
from vault.policy.situations import situation

Json = Mapping[str, Any]

LEVELS: Final = {"withheld": 0, "token": 1, "masked": 2, "clear": 3}
ROLE_TABLE: Final = "tests/matrix/roles.yaml"
_SAID: Final = Memory()  # whoever tries a bundle again, or one a little different, asks little anew
_SETS: Final = ("roles", "training", "restricted")
_BITS: Final = ("lawful", "after_restriction")
_CHANGES: Final[tuple[dict[str, Any], ...]] = (
    {},
    {"training": frozenset()},
    {"in_care": False},
    {"request_accepted": False},
    {"is_self": False},
    {"minor": True},
    {"break_glass": "open"},
)


@dataclass(frozen=True)
class Candidate:
    """A bundle on trial, and the policy it makes. Tables are its own."""

    bundle: Bundle
    engine: PolicyEngine
    policy: Policy
    world: Sequence[dict[str, Any]]
    schema: str | None = None  # what its engines are held to

    @classmethod
    def of(
        cls, bundle: Bundle, engine: PolicyEngine | None = None, world: Sequence[dict[str, Any]] | None = None, *, held: bool = True
    ) -> "Candidate":
        """Return the candidate, `held` to its schema or as a running vault asks it: a bundle may be of another program's day.

        Raises ValueError or KeyError for policies Cedar cannot take.
        """
        world, schema = world or cedar.world(bundle.lexicon), bundle.schema if held else None
        engine = engine or _remembering(bundle, bundle.policies, schema, world)
        return cls(bundle, engine, Policy(bundle, engine), world, schema)

    def with_policies(self, policies: Mapping[str, Any]) -> "Candidate":
        """Return it with other policies. Raises likewise."""
        changed, engine = mutant(self.bundle, policies), self.engine_of(policies)
        return Candidate(changed, engine, Policy(changed, engine), self.world, self.schema)

    def engine_of(self, policies: Mapping[str, Any]) -> PolicyEngine:
        """Return an engine of other policies, or of some of its own alone."""
        return _remembering(self.bundle, policies, self.schema, self.world)

    def verdict(self, action: str, key: ViewKey, field: str | None) -> Verdict:
        """Return what gate 2 says to one request. Raises EngineFault when the evaluation failed."""
        caller = [cedar.principal(key.principal, key.roles, key.training)]
        if field is None:
            return sound(self.engine.evaluate(caller, [cedar.verb_request(action, key)])[0])
        position = self.bundle.lexicon.positions[field]
        ladder = [(Bucket(self.bundle.lexicon.fields[position], (position,)), [Rung(action)])]
        return sound(self.engine.evaluate(caller, cedar.view_requests(key, ladder))[0])

    def lawful(self, key: LawKey, field: str, parties: Json) -> Verdict:
        """Return what gate 1 says of one field; `parties` says what differs in the register of recipients."""
        lexicon, engine = self.bundle.lexicon, self.engine
        if parties:
            register = {**lexicon.recipients, **{name: replace(lexicon.recipients[name], **one) for name, one in parties.items()}}
            engine = cedar.CedarEngine(self.bundle.policies, replace(lexicon, recipients=register), self.schema)
        position = lexicon.positions[field]
        asked = cedar.law_requests(key, [Bucket(lexicon.fields[position], (position,))])
        return sound(engine.evaluate([cedar.agreement(lexicon.terms[key.template], key)], asked)[0])


def _remembering(bundle: Bundle, policies: Mapping[str, Any], schema: str | None, world: Sequence[dict[str, Any]]) -> PolicyEngine:
    held_to = blake2b(orjson.dumps([schema, world]), digest_size=16).digest()
    return Remembering(cedar.CedarEngine(policies, bundle.lexicon, schema, world), policies, _SAID, held_to)


@dataclass(frozen=True)
class Check:
    """Some cases that are decided together; `failing` names those that come out otherwise than they should."""

    name: str
    cases: int
    failing: Callable[[Candidate], list[str]]


@dataclass(frozen=True)
class Outcome:
    """How many cases there are, and which failed."""

    cases: int
    failed: tuple[str, ...]

    @property
    def passed(self) -> int:
        """How many hold."""
        return self.cases - len(self.failed)


def tried(candidate: Candidate, checks: Sequence[Check], advance: Callable[[int], None] = lambda _: None) -> Outcome:
    """Run every check; `advance` is told how many cases each had."""
    failed: list[str] = []
    for check in checks:
        failed += failing(candidate, check)
        advance(check.cases)
    return Outcome(sum(check.cases for check in checks), tuple(failed))


def failing(candidate: Candidate, check: Check) -> list[str]:
    """Return the cases of one check that fail; so does one whose evaluation errs, or that asks for what there is not."""
    try:
        return check.failing(candidate)
    except EngineFault:
        return [f"{check.name}: an evaluation reported an error"]
    except (KeyError, ValueError, ContextIncomplete):
        return [f"{check.name}: asks for what is not in the bundle"]


def matrix_checks(bundle: Bundle) -> Iterator[Check]:
    """Yield the cases of every matrix file."""
    table = bundle.matrix
    by_place: dict[tuple[str, str], list[matrix.Case]] = {}
    for case in matrix.cells(table):
        by_place.setdefault((case.template, case.context), []).append(case)
    for (template, context), cases in by_place.items():
        agreements = table["templates"][template]["agreements"]
        yield Check(f"{template}/{context}", len(cases), partial(_cells_failing, context, agreements, cases))
    for path in sorted(bundle.files):
        if path.startswith("tests/matrix/") and path != ROLE_TABLE:
            document = parsed(bundle.files[path])
            for case in document.get("cases", ()):
                yield Check(case["name"], 1, partial(_condition_failing, case))
            for number, case in enumerate(document.get("requests", ()), 1):
                yield Check(f"{path}, request {number}", 1, partial(_request_failing, case, f"{path}, request {number}"))
            for number, case in enumerate(document.get("laws", ()), 1):
                yield Check(f"{path}, law {number}", 1, partial(_law_failing, case, f"{path}, law {number}"))


def smoke(bundle: Bundle, policy: Policy) -> list[str]:
    """Return the cells of the table of roles, under its first template, that do not come out: what a policy must do to be used."""
    first = next(iter(bundle.matrix["templates"]))
    table = [case for case in matrix.cells(bundle.matrix) if case.template == first]
    failed = []
    for context in dict.fromkeys(case.context for case in table):
        cases = [case for case in table if case.context == context]
        failed += _cells_compared(bundle, policy, context, bundle.matrix["templates"][first]["agreements"], cases)
    return failed


def _cells_failing(context: str, agreements: Sequence[str], cases: Sequence[matrix.Case], candidate: Candidate) -> list[str]:
    return _cells_compared(candidate.bundle, candidate.policy, context, agreements, cases)


def _cells_compared(
    bundle: Bundle, policy: Policy, context: str, agreements: Sequence[str], cases: Sequence[matrix.Case]
) -> list[str]:
    shown = situation(bundle, context, agreements).decided(policy, *(case.field for case in cases)).fields
    found = {name: (one.level, one.mask, one.because) for name, one in shown.items()}
    return [f"{case.name}: {_otherwise(case.cell, found[case.field])}" for case in cases if found[case.field] != case.cell]


def _otherwise(expected: Sequence[str | None], got: Sequence[str | None]) -> str:
    """Say what was expected of a field and what came out: level, mask, reason."""
    return ", got ".join(" ".join(filter(None, one)) for one in (["expected", *expected], got))


def _condition_failing(case: Json, candidate: Candidate) -> list[str]:
    made = situation(candidate.bundle, case["from"], case["agreements"], case.get("context"), case.get("person"))
    decision = made.decided(candidate.policy, *case["expect"])
    shown = {name: [one.level, one.mask, one.because] for name, one in decision.fields.items()}
    whole = {
        "hidden": decision.hidden, "restricted": decision.restricted, "told": decision.told,
        "obligations": list(decision.record.get("obligations", ())),
    }  # fmt: skip
    stated: Json = {"hidden": False, "restricted": False, "told": None, "obligations": []}
    wrong = [f"{name}: {_otherwise(one, shown[name])}" for name, one in case["expect"].items() if shown[name] != one]
    wrong += [name for name, unsaid in stated.items() if whole[name] != case.get(name, unsaid)]
    return [f"{case['name']}: {'; '.join(wrong)}"] if wrong else []


def _request_failing(case: Json, name: str, candidate: Candidate) -> list[str]:
    action = case["action"]
    verdict = candidate.verdict(action, _request_key(candidate.bundle, case), None if action in VERBS else case["field"])
    return [] if _as_stated(case, verdict) else [name]


def _law_failing(case: Json, name: str, candidate: Candidate) -> list[str]:
    made = situation(candidate.bundle, case["from"], [case["agreement"]], case.get("context"), case.get("person"))
    key = law_key(made.subject.agreements[0], circumstance(made.context, made.act, made.caller, made.ticket, made.subject))
    return [] if _as_stated(case, candidate.lawful(key, case["field"], case.get("parties", {}))) else [name]


def _as_stated(case: Json, verdict: Verdict) -> bool:
    return (
        ("allowed" not in case or verdict.allowed is case["allowed"])
        and ("speaks" not in case or (not verdict.allowed and case["speaks"] in verdict.by))
        and ("silent" not in case or case["silent"] not in verdict.by)
    )


def _request_key(bundle: Bundle, case: Json) -> ViewKey:
    stated: dict[str, Any] = dict(case.get("with", {}))
    for name in _SETS:
        if name in stated:
            stated[name] = frozenset(stated[name])
    for name in _BITS:
        if name in stated:
            stated[name] = bundle.lexicon.everything if stated[name] == "all" else 0
    if case["action"] == "find":
        stated["act"] = "find"
    return situation(bundle, case["from"]).key(bundle.lexicon.everything)._replace(**stated)


# --- what holds whatever the matrix says ------------------------------------------------------------------------------------


def invariant_checks(bundle: Bundle) -> Iterator[Check]:
    """Yield what must hold in every row of gate 2, one check for each context of the table of roles and each rule."""
    for start in bundle.matrix["contexts"]:
        for name, rule in _RULES.items():
            yield Check(f"{name} ({start})", 1, partial(_rule_failing, f"{name} ({start})", rule, start))


def _rule_failing(name: str, rule: Callable[[Candidate, ViewKey], bool], start: str, candidate: Candidate) -> list[str]:
    key = situation(candidate.bundle, start).key(candidate.bundle.lexicon.everything)
    return [] if rule(candidate, key) else [name]


def how_clearly(candidate: Candidate, row: View) -> list[tuple[int, int]]:
    """Return how much each field shows, as pairs that compare: clear, each mask by strength, token, withheld."""
    strength = {mask: number for one in candidate.bundle.lexicon.fields for mask, number in one.ladder}
    return [(LEVELS[one.shown.level], -strength.get(one.shown.mask or "", 0)) for one in row.cells]


def _shows(candidate: Candidate, key: ViewKey) -> set[str]:
    cells = candidate.policy.view(key).cells
    return {field.name for field, one in zip(candidate.bundle.lexicon.fields, cells, strict=True) if one.shown.level != "withheld"}


def _tickets(key: ViewKey) -> Iterator[ViewKey]:
    for ticket in ("none", "asserted", "verified", *TICKET_REFUSALS):
        yield key._replace(ticket=ticket, assigned=ticket == "verified")


def _special_to_care_only(candidate: Candidate, key: ViewKey) -> bool:
    special = {one.name for one in candidate.bundle.lexicon.fields if one.special}
    key = key._replace(lawful=candidate.bundle.lexicon.mask(special))  # of the others nothing is asked here
    tried_keys = [one._replace(**changes) for one, changes in product(_tickets(key), _CHANGES)]
    tried_keys += [key._replace(roles=frozenset({role}), request_accepted=False) for role in ROLES]
    return not any(_shows(candidate, one) & special for one in tried_keys if not _may_see_special(one))


def _may_see_special(key: ViewKey) -> bool:
    cares = "medical" in key.roles and key.in_care and "gdpr-art9" in key.training
    return cares or key.is_self or (key.request_accepted and "dsr-officer" in key.roles) or key.break_glass == "approved"


def _unlawful_is_withheld(candidate: Candidate, key: ViewKey) -> bool:
    field = candidate.bundle.lexicon.fields[0].name
    actions = ("view_clear", "view_masked", "view_token", "verify", "amend")
    bare = [key._replace(lawful=0, level=3, break_glass=grant) for grant in ("none", "approved")]
    return not any(_shows(candidate, one) for one in bare) and not any(
        candidate.verdict(action, one, field).allowed for action, one in product(actions, bare)
    )


def _chat_shows_no_more(candidate: Candidate, key: ViewKey) -> bool:
    return all(_no_more(candidate, one._replace(channel="chat"), one._replace(channel="phone")) for one in _acts(key))


def _asserted_shows_no_more(candidate: Candidate, key: ViewKey) -> bool:
    return all(
        _no_more(candidate, one._replace(ticket="asserted", assigned=False), one._replace(ticket="verified", assigned=True))
        for one in _acts(key)
    )


def _a_refused_ticket_shows_nothing(candidate: Candidate, key: ViewKey) -> bool:
    agent = key._replace(principal="agent", assigned=False, caller_verified=True, is_self=False, request_accepted=False)
    acts: tuple[Act, ...] = ("profile", "reveal", "export", "amend", "verify")
    return not any(_shows(candidate, agent._replace(ticket=ticket, act=act)) for ticket, act in product(TICKET_REFUSALS, acts))


def _acts(key: ViewKey) -> Iterator[ViewKey]:
    for act in ("profile", "reveal", "export"):
        yield key._replace(act=act, caller_verified=True)


def _no_more(candidate: Candidate, less: ViewKey, more: ViewKey) -> bool:
    first, second = (how_clearly(candidate, candidate.policy.view(one)) for one in (less, more))
    return all(one <= other for one, other in zip(first, second, strict=True))


def _offices_see_nothing(candidate: Candidate, key: ViewKey) -> bool:
    held = key._replace(principal="agent")
    return not any(_shows(candidate, held._replace(roles=key.roles | {office})) for office in sorted(OFFICE))


_RULES: Final[Mapping[str, Callable[[Candidate, ViewKey], bool]]] = {
    "special data are for care, the person and their request": _special_to_care_only,
    "what is not lawful is withheld": _unlawful_is_withheld,
    "a chat shows no more than a call": _chat_shows_no_more,
    "an asserted ticket shows no more than a verified one": _asserted_shows_no_more,
    "a ticket that is refused shows nothing": _a_refused_ticket_shows_nothing,
    "dpo and operator see nothing": _offices_see_nothing,
}


def mutant(bundle: Bundle, policies: Mapping[str, Any]) -> Bundle:
    """Return the bundle with other policies, unlinted: never to be used, only to be tried."""
    return replace(bundle, policies=policies)
