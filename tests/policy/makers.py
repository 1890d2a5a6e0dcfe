"""Situations: a context of the table of roles with one thing changed, and the person it is about."""

import random
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from vault.policy import typical
from vault.policy.bundle import Bundle, load_bundle, shipped
from vault.policy.engine import Policy
from vault.policy.files import read_files, template_digest, template_documents
from vault.policy.model import Act, AgreementFacts, CallerFacts, Context, Decision, SubjectFacts, TicketFacts

Json = Mapping[str, Any]


@cache
def bundle() -> Bundle:
    return load_bundle()


@cache
def policy() -> Policy:
    """The policy most tests may share: a decision leaves nothing behind but rows."""
    return Policy(bundle())


@dataclass(frozen=True)
class Situation:
    context: Context
    act: Act
    caller: CallerFacts
    ticket: TicketFacts
    subject: SubjectFacts

    def decided(self, by: Policy, *fields: str) -> Decision:
        return by.decide(self.context, self.act, self.caller, self.ticket, self.subject, fields)

    def about(self, **changes: Any) -> "Situation":
        return replace(self, subject=self.subject._replace(**changes))

    def called_by(self, **changes: Any) -> "Situation":
        return replace(self, caller=replace(self.caller, **changes))

    def with_ticket(self, **changes: Any) -> "Situation":
        return replace(self, ticket=replace(self.ticket, **changes))

    def within(self, **changes: Any) -> "Situation":
        return replace(self, context=replace(self.context, **changes))


def situation(
    start: str, agreements: Sequence[str | Json] = ("retail@1",), context: Json | None = None, person: Json | None = None
) -> Situation:
    """Return a situation: `start` names a context of roles.yaml; `context` and `person` say what differs."""
    stated = {**bundle().matrix["contexts"][start], **(context or {})}
    about = dict(person or {})
    if "restricted" in about:
        about["restricted"] = frozenset(about["restricted"])
    made = Situation(
        typical.context_of(stated),
        stated.get("act", "profile"),
        typical.caller_of(stated),
        typical.ticket_of(stated),
        typical.person_with(tuple(agreed(one, number) for number, one in enumerate(agreements)))._replace(**about),
    )
    if "subject_id" in stated:
        made = made.within(caller=replace(made.context.caller, subject_id=stated["subject_id"]))
    return made


def agreed(one: str | Json, number: int = 0) -> AgreementFacts:
    """Return an agreement: a template in force, or a mapping that says what differs."""
    stated: dict[str, Any] = {"template": one} if isinstance(one, str) else dict(one)
    reference = stated.pop("template")
    for name in ("excluded", "foreign"):
        if name in stated:
            stated[name] = frozenset(stated[name])
    held = typical.held(reference, bundle().templates[reference])
    return held._replace(agreement_id=f"agr_{number}", **stated)


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
