"""A second opinion: a small evaluator over Cedar's JSON form, written from its specification, to compare cedarpy with.

Composed of plain functions; an operator it does not know is an error, as are a missing attribute and a comparison of other types.
Entities are (type, id); the graph holds their attributes and everything above them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vault.policy.cedar import world
from vault.policy.lexicon import Lexicon
from vault.policy.rows import Verdict

Json = dict[str, Any]
Uid = tuple[str, str]


class Erred(Exception):
    """A policy could not be evaluated."""


@dataclass(frozen=True)
class Node:
    attributes: Mapping[str, Any]
    above: frozenset[Uid]


@dataclass(frozen=True)
class Request:
    variables: Mapping[str, Any]
    graph: Mapping[Uid, Node]


ACTIONS_ABOVE = {
    "view_clear": ("view_any", "touch_any"),
    "view_masked": ("view_any", "touch_any"),
    "view_token": ("view_any", "touch_any"),
    "verify": ("touch_any",),
    "amend": ("touch_any",),
}


class Oracle:
    """Evaluates requests like `CedarEngine`, another way."""

    def __init__(self, policies: Mapping[str, Json], lexicon: Lexicon) -> None:
        self._policies = policies
        self._world = [*world(lexicon), *(_action(name, above) for name, above in ACTIONS_ABOVE.items())]
        self._base = graph_of(self._world)

    def evaluate(self, entities: Sequence[Json], requests: Sequence[Json]) -> list[Verdict]:
        graph = {**self._base, **graph_of([*self._world, *entities], only={_uid(one["uid"]) for one in entities})}
        return [self._one(request, graph) for request in requests]

    def _one(self, request: Json, graph: Mapping[Uid, Node]) -> Verdict:
        variables = {name: _uid(request[name]) for name in ("principal", "action", "resource")}
        asked = Request({**variables, "context": value_of(request["context"])}, graph)
        permits: list[str] = []
        forbids: list[str] = []
        errors = 0
        for name, policy in self._policies.items():
            try:
                if applies(policy, asked):
                    (permits if policy["effect"] == "permit" else forbids).append(name)
            except Erred:
                errors += 1
        if errors:
            return Verdict(allowed=False, by=tuple(sorted(forbids or permits)), failed=True)
        if forbids:
            return Verdict(allowed=False, by=tuple(sorted(forbids)))
        return Verdict(allowed=bool(permits), by=tuple(sorted(permits)))


def graph_of(entities: Sequence[Json], only: set[Uid] | None = None) -> dict[Uid, Node]:
    parents = {_uid(one["uid"]): [_uid(above) for above in one["parents"]] for one in entities}
    attributes = {_uid(one["uid"]): {name: value_of(value) for name, value in one["attrs"].items()} for one in entities}
    return {uid: Node(attributes[uid], _above(uid, parents)) for uid in parents if only is None or uid in only}


def applies(policy: Json, asked: Request) -> bool:
    for variable in ("principal", "action", "resource"):
        if not _in_scope(policy[variable], asked.variables[variable], asked):
            return False
    return all(_boolean(evaluated(one["body"], asked)) is (one["kind"] == "when") for one in policy["conditions"])


def evaluated(expression: Mapping[str, Any], asked: Request) -> Any:
    if len(expression) != 1:
        raise Erred
    operator, operands = next(iter(expression.items()))
    if operator not in OPERATORS:
        raise Erred
    return OPERATORS[operator](operands, asked)


def value_of(value: Any) -> Any:
    if isinstance(value, dict):
        return _uid(value["__entity"]) if "__entity" in value else {name: value_of(one) for name, one in value.items()}
    return frozenset(value_of(one) for one in value) if isinstance(value, list) else value


def _action(name: str, above: Sequence[str]) -> Json:
    kind = "Vault::Action"
    return {"uid": {"type": kind, "id": name}, "attrs": {}, "parents": [{"type": kind, "id": one} for one in above]}


def _uid(one: Json) -> Uid:
    return one["type"], one["id"]


def _above(uid: Uid, parents: Mapping[Uid, Sequence[Uid]]) -> frozenset[Uid]:
    found: set[Uid] = set()
    waiting = list(parents[uid])
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting.extend(parents.get(one, ()))
    return frozenset(found)


def _in_scope(scope: Json, uid: Uid, asked: Request) -> bool:
    operator = scope["op"]
    if operator == "All":
        return True
    if operator == "is":
        return bool(uid[0] == scope["entity_type"]) and ("in" not in scope or _is_in(uid, _uid(scope["in"]["entity"]), asked))
    entities = [_uid(one) for one in scope.get("entities", [scope["entity"]] if "entity" in scope else [])]
    if operator == "==":
        return uid == entities[0]
    if operator != "in":
        raise Erred
    return any(_is_in(uid, one, asked) for one in entities)


def _is_in(uid: Uid, above: Uid, asked: Request) -> bool:
    return uid == above or (uid in asked.graph and above in asked.graph[uid].above)


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Erred
    return value


def _both(operands: Json, asked: Request) -> tuple[Any, Any]:
    return evaluated(operands["left"], asked), evaluated(operands["right"], asked)


def _numbers(operands: Json, asked: Request) -> tuple[int, int]:
    left, right = _both(operands, asked)
    for one in (left, right):
        if isinstance(one, bool) or not isinstance(one, int):
            raise Erred
    return left, right


def _access(operands: Json, asked: Request) -> Any:
    holder = evaluated(operands["left"], asked)
    if isinstance(holder, tuple):
        if holder not in asked.graph:
            raise Erred
        holder = asked.graph[holder].attributes
    if not isinstance(holder, Mapping) or operands["attr"] not in holder:
        raise Erred
    return holder[operands["attr"]]


def _has(operands: Json, asked: Request) -> bool:
    holder = evaluated(operands["left"], asked)
    if isinstance(holder, tuple):
        holder = asked.graph[holder].attributes if holder in asked.graph else {}
    return operands["attr"] in holder


def _in(operands: Json, asked: Request) -> bool:
    left, right = _both(operands, asked)
    candidates = right if isinstance(right, frozenset) else [right]
    return any(_is_in(left, one, asked) for one in candidates)


def _contains(operands: Json, asked: Request) -> bool:
    left, right = _both(operands, asked)
    if not isinstance(left, frozenset):
        raise Erred
    return right in left


def _is(operands: Json, asked: Request) -> bool:
    return bool(evaluated(operands["left"], asked)[0] == operands["entity_type"])


def _and(operands: Json, asked: Request) -> bool:
    return _boolean(evaluated(operands["left"], asked)) and _boolean(evaluated(operands["right"], asked))


def _or(operands: Json, asked: Request) -> bool:
    return _boolean(evaluated(operands["left"], asked)) or _boolean(evaluated(operands["right"], asked))


OPERATORS: dict[str, Callable[[Any, Request], Any]] = {
    "Value": lambda value, _: value_of(value),
    "Var": lambda name, asked: asked.variables[name],
    "Set": lambda members, asked: frozenset(evaluated(one, asked) for one in members),
    ".": _access,
    "has": _has,
    "is": _is,
    "in": _in,
    "contains": _contains,
    "&&": _and,
    "||": _or,
    "!": lambda operands, asked: not _boolean(evaluated(operands["arg"], asked)),
    "==": lambda operands, asked: (both := _both(operands, asked))[0] == both[1],
    "!=": lambda operands, asked: (both := _both(operands, asked))[0] != both[1],
    "<": lambda operands, asked: (both := _numbers(operands, asked))[0] < both[1],
    "<=": lambda operands, asked: (both := _numbers(operands, asked))[0] <= both[1],
    ">": lambda operands, asked: (both := _numbers(operands, asked))[0] > both[1],
    ">=": lambda operands, asked: (both := _numbers(operands, asked))[0] >= both[1],
}
