"""What a policy is made of, read from Cedar's JSON form: operators, string literals, entity literals, exemptions. Pure.

Cedar's validator accepts `Purpose::"dpv:CustomerCaer"` and `channel == "pohne"`: both are silent denials, or a forbid that never
forbids. So each literal is compared with a closed list.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

Json = dict[str, Any]

# No arithmetic (it overflows, and an erring forbid is skipped), no `like`, no extension types, no tags, no templates.
OPERATORS: Final = frozenset({"==", "!=", "<", "<=", ">", ">=", "in", "&&", "||", "!", "contains", ".", "has", "is"})
_LEAVES: Final = frozenset({"Value", "Var", "Set"})
_PLACES: Final = frozenset({"in", "is"})
_COMPARES: Final = frozenset({"==", "!=", "contains"})
_SCOPES: Final = ("principal", "action", "resource")
_UNLESS = re.compile(r"\nunless\s*\{(.*?)\};", re.DOTALL)
_NAME = re.compile(r'@id\("([^"]+)"\)')


def conditions(policy: Json) -> Iterator[Json]:
    """Yield the bodies of `when` and `unless`."""
    yield from (one["body"] for one in policy["conditions"])


def operators(expression: Json) -> Iterator[str]:
    """Yield every operator of an expression that a leaf is not."""
    for operator, operands in expression.items():
        if operator not in _LEAVES:
            yield operator
        for operand in _operands(operator, operands):
            yield from operators(operand)


def strings(expression: Json, compared: str | None = None) -> Iterator[tuple[str | None, str]]:
    """Yield every string literal with the attribute it is compared with; None where that cannot be seen."""
    for operator, operands in expression.items():
        if operator == "Value" and isinstance(operands, str):
            yield compared, operands
        inside = compared if operator == "Set" else None
        if operator in _COMPARES:
            inside = _attribute(operands["left"]) or _attribute(operands["right"])
        for operand in _operands(operator, operands):
            yield from strings(operand, inside)


def entities(policy: Json) -> Iterator[tuple[str, str]]:
    """Yield (type, id) of every entity literal, those of the scope included."""
    for part in _SCOPES:
        scope = policy[part]
        inside = scope.get("in", scope)  # `principal is Agent in Role::"t1"`
        for one in (*inside.get("entities", ()), *([inside["entity"]] if "entity" in inside else [])):
            yield one["type"], one["id"]
    for body in conditions(policy):
        yield from _named(body)


def placing(policy: Json) -> Iterator[tuple[str, str]]:
    """Yield (type, id) of every entity literal of a condition that asks what is in what."""
    for body in conditions(policy):
        yield from _placing(body)


def exemptions(text: str) -> dict[str, str]:
    """Return the `unless` of each policy that has one, on one line."""
    found = {}
    starts = [match.start() for match in _NAME.finditer(text)]
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        policy = text[start:end]
        match = _UNLESS.search(policy)
        if match is not None:
            found[_NAME.match(policy)[1]] = " ".join(match[1].split())  # type: ignore[index]  # it starts there
    return found


def exemption_lines(found: Mapping[str, str]) -> str:
    """Return them as `exemptions.txt` lists them."""
    return "".join(f"{name}: {found[name]}\n" for name in sorted(found))


def _operands(operator: str, operands: Any) -> Iterator[Json]:
    if operator == "Set":
        yield from operands
    elif operator not in _LEAVES and isinstance(operands, dict):
        yield from (operands[side] for side in ("left", "right", "arg", "in") if side in operands)


def _attribute(expression: Json) -> str | None:
    access = expression.get(".")
    return access["attr"] if access else None


def _placing(expression: Json) -> Iterator[tuple[str, str]]:
    for operator, operands in expression.items():
        if operator in _PLACES:
            yield from _named({operator: operands})
        for operand in _operands(operator, operands):
            yield from _placing(operand)


def _named(expression: Json) -> Iterator[tuple[str, str]]:
    for operator, operands in expression.items():
        if operator == "Value" and isinstance(operands, dict):
            one = operands["__entity"]
            yield one["type"], one["id"]
        for operand in _operands(operator, operands):
            yield from _named(operand)
