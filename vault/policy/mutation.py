"""Mutation: break each policy in each way a slip would, and see whether a case of the matrix notices.

A policy that can be broken without a failing case is one that nobody checks. Ways: drop the policy, negate a condition, drop an
exemption (`unless`), let it speak on another action, move a bound by one. Cases whose outcome a policy determined are asked first,
so most mutants cost one or two decisions.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from operator import attrgetter
from typing import Any, Final

from vault.policy.engine import PolicyEngine
from vault.policy.rows import Verdict
from vault.policy.trial import Candidate, Check, failing

Json = Mapping[str, Any]

ENOUGH_PERCENT: Final = 95.0
_COMPARISONS: Final = ("<", "<=", ">", ">=")
_SWAPPED: Final = {  # to an action of the same kind of principal; gate 1 has one action, so there is nothing to swap it with
    "view_clear": "view_masked",
    "view_masked": "view_clear",
    "view_token": "view_masked",
    "touch_any": "view_token",
    "verify": "amend",
    "amend": "verify",
    "find": "amend",
    "enroll": "agree",
    "agree": "put_ticket",
    "narrow": "agree",
    "withdraw": "agree",
    "put_ticket": "register_caller",
    "register_caller": "enroll",
}


@dataclass(frozen=True)
class Mutant:
    """One slip: which policy, how, and what the policies are with it."""

    name: str
    policy: str
    policies: Mapping[str, Any]


@dataclass(frozen=True)
class Mutations:
    """How many slips there are, and which of them nothing noticed."""

    total: int
    survivors: tuple[str, ...]

    @property
    def killed(self) -> int:
        """How many were noticed."""
        return self.total - len(self.survivors)

    @property
    def enough(self) -> bool:
        """Whether 95 % were noticed, and every slip in a prohibition of gate 1."""
        lawful = not any(one.startswith("gate1-") for one in self.survivors)
        return lawful and self.killed * 100 >= ENOUGH_PERCENT * self.total


def mutants(policies: Mapping[str, Any]) -> Iterator[Mutant]:
    """Yield every slip."""
    for name, policy in policies.items():
        yield Mutant(f"{name}: dropped", name, {other: one for other, one in policies.items() if other != name})
        for how, changed in _changed(policy):
            yield Mutant(f"{name}: {how}", name, {**policies, name: changed})


def _changed(policy: Json) -> Iterator[tuple[str, Json]]:
    conditions = policy["conditions"]
    for number, one in enumerate(conditions):
        others = [*conditions[:number], *conditions[number + 1 :]]
        negated = {**one, "body": {"!": {"arg": one["body"]}}}
        if one["kind"] == "unless":
            yield "its exemption dropped", {**policy, "conditions": others}
        yield f"its `{one['kind']}` negated", {**policy, "conditions": [*conditions[:number], negated, *conditions[number + 1 :]]}
        for place, bound in enumerate(_bounds(one["body"])):
            for shifted in (bound - 1, bound + 1):
                body = _with_bound(one["body"], place, shifted)
                moved = [*conditions[:number], {**one, "body": body}, *conditions[number + 1 :]]
                yield f"its bound {place + 1} ({bound}) at {shifted}", {**policy, "conditions": moved}
    scope = policy["action"]
    stated = [one["id"] for one in (*scope.get("entities", ()), *([scope["entity"]] if "entity" in scope else ()))]
    swapped = next((_SWAPPED[one] for one in stated if one in _SWAPPED), None)
    if swapped is not None:
        yield f"on {swapped} instead", {**policy, "action": {"op": "==", "entity": {"type": "Vault::Action", "id": swapped}}}


def _bounds(node: Any) -> list[int]:
    """Return the numbers that something is compared with, in their order."""
    if isinstance(node, list):
        return [one for member in node for one in _bounds(member)]
    if not isinstance(node, dict):
        return []
    return [
        one
        for name, operands in node.items()
        for one in ([operands["right"]["Value"]] if name in _COMPARISONS else _bounds(operands))
    ]


def _with_bound(node: Any, place: int, bound: int) -> Any:
    """Return the expression with one of its bounds elsewhere."""
    numbers = count()

    def changed(part: Any) -> Any:
        if isinstance(part, list):
            return [changed(one) for one in part]
        if not isinstance(part, dict):
            return part
        return {name: compared(one) if name in _COMPARISONS else changed(one) for name, one in part.items()}

    def compared(operands: Json) -> Json:
        return {**operands, "right": {"Value": bound}} if next(numbers) == place else dict(operands)

    return changed(node)


def mutation(
    candidate: Candidate, checks: Sequence[Check], slips: Sequence[Mutant], advance: Callable[[int], None] = lambda _: None
) -> Mutations:
    """Try each slip against checks that hold for the candidate itself; `advance` is told of each."""
    speaking, survivors = _who_speaks(candidate, checks), []
    for one in slips:
        first = [check for check in checks if one.policy in speaking[check.name]]
        rest = [check for check in checks if one.policy not in speaking[check.name]]
        if not _noticed(candidate, one, [*sorted(first, key=attrgetter("cases")), *rest]):
            survivors.append(one.name)
        advance(1)
    return Mutations(len(slips), tuple(survivors))


def _noticed(sound: Candidate, one: Mutant, ordered: Sequence[Check]) -> bool:
    try:
        candidate = sound.with_policies(one.policies)
    except (ValueError, KeyError):
        return True  # a bundle like this would not load
    return any(failing(candidate, check) for check in ordered)


class _Listening:
    """An engine that notes which policies determined what it was asked."""

    def __init__(self, engine: PolicyEngine) -> None:
        self._engine = engine
        self.heard: set[str] = set()

    def evaluate(self, entities: Sequence[Any], requests: Sequence[Any]) -> list[Verdict]:
        found = self._engine.evaluate(entities, requests)
        self.heard.update(name for one in found for name in one.by)
        return found


def _who_speaks(candidate: Candidate, checks: Sequence[Check]) -> dict[str, frozenset[str]]:
    found = {}
    for check in checks:
        listening = _Listening(candidate.engine)
        failing(Candidate.of(candidate.bundle, listening, candidate.world), check)
        found[check.name] = frozenset(listening.heard)
    return found
