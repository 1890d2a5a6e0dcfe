"""Notices: what people are told of the processing of their data, from `policies/notices.yaml` and the texts it names. Pure.

1. A version is one text in each language, named by the SHA-256 of its bytes, and never changes once it was released.
2. A notice says every point of the articles it is for: 13(1) to (3) where data come from the person, 14(1), (2), (4) where they do
   not (GDPR). Which section says what is stated; that the section is there in each language is checked, what it says is not.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from vault.policy.files import Json

LANGUAGES: Final = ("it", "en")
_COMMON: Final = frozenset(
    {
        *("controller", "officer", "purposes", "interests", "recipients", "transfers", "storage", "rights", "withdrawal"),
        *("complaint", "automated", "further"),
    }
)
POINTS: Final[Mapping[int, frozenset[str]]] = {13: _COMMON | {"obligation"}, 14: _COMMON | {"categories", "source"}}
_NAME: Final = re.compile(r"([a-z][a-z0-9-]{0,63})@([1-9][0-9]{0,5})")
_DIGEST: Final = re.compile(r"sha256:([0-9a-f]{64})")
_SECTION: Final = re.compile(rb"^## ([0-9]+)\. .", re.MULTILINE)
_MEMBERS: Final = frozenset({"articles", "texts", "points"})


@dataclass(frozen=True, slots=True)
class Notice:
    """One version. `articles`: 13, 14 or both; `texts`: SHA-256 by language; `points`: section by point."""

    name: str
    version: int
    articles: tuple[int, ...]
    texts: Mapping[str, bytes]
    points: Mapping[str, int]

    @property
    def reference(self) -> str:
        """The name and version that are stored."""
        return f"{self.name}@{self.version}"

    def path(self, language: str) -> str:
        """Return where its text lies in the bundle."""
        return f"notices/{self.name}.v{self.version}.{language}.md"


def notices_of(document: Json) -> dict[str, Notice]:
    """Return the notices of a parsed document, by `name@version`. Raises ValueError naming the one that is unfit."""
    stated = document.get("notices")
    if not isinstance(stated, dict) or not stated:
        raise ValueError("there is no notice")
    return {name: _notice(name, one) for name, one in stated.items()}


def notice_faults(notices: Mapping[str, Notice], files: Mapping[str, bytes]) -> Iterator[str]:
    """Yield where texts are not those the notices name, and sections that are not there; and texts no notice names."""
    named = {one.path(language) for one in notices.values() for language in LANGUAGES}
    yield from (f"{path}: is the text of no notice" for path in sorted(files) if path.startswith("notices/") and path not in named)
    for one in notices.values():
        for language in LANGUAGES:
            path = one.path(language)
            if path not in files:
                yield f"{path}: is missing"
            elif sha256(files[path]).digest() != one.texts[language]:
                yield f"{path}: is not what notices.yaml names: a notice never changes, a new version does"
            elif lacking := sorted(set(one.points.values()) - {int(number) for number in _SECTION.findall(files[path])}):
                yield f"{path}: has no section {', '.join(map(str, lacking))}"


def newest(notices: Mapping[str, Notice], name: str, version: int | None = None) -> Notice | None:
    """Return a version of a notice, the newest where none is named; None where there is none."""
    fit = [one for one in notices.values() if one.name == name and version in (None, one.version)]
    return max(fit, key=lambda one: one.version, default=None)


def _notice(name: Any, stated: Any) -> Notice:
    found = _NAME.fullmatch(name) if isinstance(name, str) else None
    if found is None or not isinstance(stated, dict) or stated.keys() != _MEMBERS:
        raise ValueError(f"{name}: is no notice")
    articles, texts, points = stated["articles"], stated["texts"], stated["points"]
    if not isinstance(articles, list) or not articles or not all(type(one) is int and one in POINTS for one in articles):
        raise ValueError(f"{name}: is for article 13, 14, or both")
    if not isinstance(texts, dict) or texts.keys() != set(LANGUAGES):
        raise ValueError(f"{name}: its texts are in Italian and English")
    digests = {language: _DIGEST.fullmatch(str(texts[language])) for language in LANGUAGES}
    asked = frozenset[str]().union(*(POINTS[one] for one in articles))
    if not isinstance(points, dict) or not all(type(one) is int for one in points.values()):
        raise ValueError(f"{name}: a point names its section by number")
    if lacking := asked - points.keys():
        raise ValueError(f"{name}: does not say {', '.join(sorted(lacking))}")
    if unknown := points.keys() - asked:
        raise ValueError(f"{name}: {', '.join(sorted(map(str, unknown)))} is no point of its articles")
    return Notice(
        found[1], int(found[2]), tuple(sorted(set(articles))), {one: _octets(name, digests[one]) for one in LANGUAGES}, points
    )


def _octets(name: str, found: "re.Match[str] | None") -> bytes:
    if found is None:
        raise ValueError(f"{name}: a text is named by its SHA-256")
    return bytes.fromhex(found[1])
