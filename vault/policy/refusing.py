"""Why a request is not met: the codes of `policies/refusals.yaml`, each with law, DPV term and a text in each language. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from vault.policy.files import Json

LANGUAGES: Final = ("it", "en")
_CODE: Final = re.compile(r"[a-z][a-z0-9-]{0,62}")
_TERM: Final = re.compile(r"(?:eu-gdpr|justifications):[A-Z][A-Za-z0-9]+")
_MEMBERS: Final = frozenset({"law", "dpv", *LANGUAGES})


@dataclass(frozen=True, slots=True)
class Refusal:
    """One code, as it is told. `texts`: by language; free words add to them and never replace them."""

    code: str
    law: str
    dpv: str
    texts: Mapping[str, str]


def refusals_of(document: Json) -> dict[str, Refusal]:
    """Return the refusals of a parsed document, by code. Raises ValueError naming the one that is unfit."""
    stated = document.get("refusals")
    if not isinstance(stated, dict) or not stated:
        raise ValueError("there is no refusal")
    return {code: _refusal(code, one) for code, one in stated.items()}


def _refusal(code: Any, stated: Any) -> Refusal:
    if not isinstance(code, str) or not _CODE.fullmatch(code) or not isinstance(stated, dict) or stated.keys() != _MEMBERS:
        raise ValueError(f"{code}: is no refusal")
    if not all(isinstance(one, str) and one.strip() for one in stated.values()):
        raise ValueError(f"{code}: a member is empty")
    if not _TERM.fullmatch(stated["dpv"]):
        raise ValueError(f"{code}: its DPV term is none")
    return Refusal(code, stated["law"], stated["dpv"], {one: stated[one] for one in LANGUAGES})
