"""The shipped matrix. `roles()` is what drives `Policy.decide` here and the vault over HTTP elsewhere."""

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

from vault.policy.files import parsed
from vault.policy.matrix import Case, cells

MATRIX = Path(__file__).parents[2] / "policies/tests/matrix"


def document(name: str = "roles") -> dict[str, Any]:
    """Return a matrix file, parsed."""
    found: dict[str, Any] = deepcopy(parsed((MATRIX / f"{name}.yaml").read_bytes()))
    return found


def roles() -> Iterator[Case]:
    """Yield every case of the table of roles."""
    yield from cells(document())


def conditions() -> list[dict[str, Any]]:
    """Return what changes when one thing does: the cases of `conditions.yaml`, to be made by `makers.situation`."""
    found: list[dict[str, Any]] = document("conditions")["cases"]
    return found


def requests() -> list[dict[str, Any]]:
    """Return single questions to one gate: those of `requests.yaml`."""
    found: list[dict[str, Any]] = document("requests")["requests"]
    return found
