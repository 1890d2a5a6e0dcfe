"""Situations under the shipped bundle, and bundles that differ from it."""

import random
import shutil
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from vault.policy import situations
from vault.policy.bundle import Bundle, load_bundle, shipped
from vault.policy.engine import Policy
from vault.policy.files import read_files, template_digest, template_documents
from vault.policy.model import AgreementFacts
from vault.policy.situations import Situation
from vault.policy.trial import Candidate

Json = Mapping[str, Any]


@cache
def bundle() -> Bundle:
    return load_bundle()


@cache
def candidate() -> Candidate:
    """The shipped bundle on trial, with a memory of what its engine said: tests ask the same of it again and again."""
    return Candidate.of(bundle())


@cache
def policy() -> Policy:
    """The policy most tests may share: a decision leaves nothing behind but rows."""
    return Policy(bundle(), candidate().engine)


def situation(
    start: str, agreements: Sequence[str | Json] = ("retail@1",), context: Json | None = None, person: Json | None = None
) -> Situation:
    """Return a situation under the shipped bundle."""
    return situations.situation(bundle(), start, agreements, context, person)


def agreed(one: str | Json, number: int = 0) -> AgreementFacts:
    """Return an agreement on a shipped template."""
    return situations.agreed(bundle(), one, number)


def altered(directory: Path, changes: Mapping[str, str | None]) -> Path:
    """Return a copy of the shipped bundle with some files replaced, or removed (None)."""
    copy = directory / "policies"
    shutil.copytree(shipped(), copy, ignore=shutil.ignore_patterns("__pycache__"))
    for path, text in changes.items():
        if text is None:
            (copy / path).unlink()
        else:
            (copy / path).parent.mkdir(parents=True, exist_ok=True)
            (copy / path).write_text(text)
    return copy


def relock(directory: Path) -> None:
    """Accept the templates of a directory as they are now."""
    lines = [f"{name} {template_digest(one)}\n" for name, one in sorted(template_documents(read_files(directory)).items())]
    (directory / "templates.lock").write_text("".join(lines))


def shipped_text(path: str) -> str:
    return (shipped() / path).read_text()


def seeded(number: int) -> random.Random:
    """Return draws that are the same in every run, so that a difference can be seen again."""
    return random.Random(number)  # noqa: S311 - nothing is hidden by it
