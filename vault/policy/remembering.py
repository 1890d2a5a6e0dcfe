"""An engine that is asked each thing once: for trials, where thousands of contexts ask the same of a field.

A verdict is a function of the policies that can speak, the entities and the request, so it may be kept for as long as those
stand. Where a bundle differs in some policies only, what the untouched families said is taken over. Never for a running vault: its
two tables stand in front of the engine, and a recheck must reach it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from vault.policy.cedar import FAMILIES, families
from vault.policy.engine import PolicyEngine
from vault.policy.rows import Verdict

Json = dict[str, Any]


class Remembering:
    """An engine of these policies, with a memory of what they said."""

    def __init__(self, engine: PolicyEngine, policies: Mapping[str, Json], before: "Remembering | None" = None) -> None:
        """`before` answers for the families of policies it shares; its schema and closed world must be the same."""
        self._engine = engine
        self.families = families(policies)
        self.known: dict[str, dict[bytes, Verdict]] = {
            family: before.known[family] if before and before.families[family] == some else {}
            for family, some in self.families.items()
        }

    def evaluate(self, entities: Sequence[Json], requests: Sequence[Json]) -> list[Verdict]:
        """Return one verdict for each request, all of one family. What failed is asked again."""
        beside = orjson.dumps(entities)
        places = [beside + orjson.dumps(one) for one in requests]
        known = self.known[FAMILIES[requests[0]["action"]["id"]]]
        unknown = {place: one for place, one in zip(places, requests, strict=True) if place not in known}
        said = dict(zip(unknown, self._engine.evaluate(entities, list(unknown.values())), strict=True)) if unknown else {}
        known.update({place: one for place, one in said.items() if not one.failed})
        return [said.get(place) or known[place] for place in places]
