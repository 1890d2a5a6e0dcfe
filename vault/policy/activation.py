"""The activation note: which bundle comes into force for a controller, and who decided it. Pure.

A C2SP signed note of six lines: `riserbo.dev/policy-activation/1`, controller, sequence, digest, digest before it or `-`, and the
instant from which it may be used. Rules: one key of group `policy` and one of group `dpo` sign, and they are of different people;
the sequence follows the last one, and the digest before is the last one's, so a note serves once and an old one is refused.
A rollback is a new sequence with an old digest. When nobody sees more than before, one signature of group `policy` is enough.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

from vault.notes import ED25519, Signature, VerifierKey, holds, parse_vkey, split_note

KIND: Final = "riserbo.dev/policy-activation/1"
GROUPS: Final = ("policy", "dpo")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_SEQUENCE: Final = re.compile(r"[1-9][0-9]{0,17}")
_CONTROLLER: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_INSTANT: Final = "%Y-%m-%dT%H:%M:%SZ"

Group = Literal["policy", "dpo"]


@dataclass(frozen=True, slots=True)
class Activation:
    """One bundle coming into force. `previous` is None for the first."""

    controller_id: str
    sequence: int
    digest: str
    previous: str | None
    not_before: datetime  # aware UTC, whole seconds

    @property
    def body(self) -> str:
        """The text that is signed."""
        instant = self.not_before.astimezone(UTC).strftime(_INSTANT)
        lines = (KIND, self.controller_id, str(self.sequence), self.digest, self.previous or "-", instant)
        return "".join(f"{line}\n" for line in lines)


@dataclass(frozen=True, slots=True)
class Approver:
    """Whose signature counts: a person, their group, and the key they sign with."""

    group: Group
    person: str
    key: VerifierKey


def approvers(text: str) -> tuple[Approver, ...]:
    """Return the approvers of a key file: `<group> <person> <vkey>` on each line; `#` begins a comment.

    Raises ValueError for any other line, for a key that stands twice, and for a person in both groups: they would agree with
    themselves.
    """
    found: list[Approver] = []
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        if not words:
            continue
        if len(words) != 3 or words[0] not in GROUPS:
            raise ValueError("a line is not `<policy|dpo> <person> <key>`")
        found.append(Approver(words[0], words[1], parse_vkey(words[2])))  # type: ignore[arg-type]  # one of GROUPS
    if any(one.key.kind != ED25519 for one in found):
        raise ValueError("a witness's key signs no policy")
    if len({one.key.public for one in found}) < len(found) or len({one.key.name for one in found}) < len(found):
        raise ValueError("a key stands twice")
    if {one.person for one in found if one.group == "policy"} & {one.person for one in found if one.group == "dpo"}:
        raise ValueError("a person is in both groups")
    return tuple(found)


def signed_note(activation: Activation, lines: Sequence[str]) -> str:
    """Return the note: body, blank line, signature lines."""
    return f"{activation.body}\n{''.join(lines)}"


def parse_activation(text: str) -> tuple[Activation, tuple[Signature, ...]]:
    """Return what a note says, unverified, and its signatures. Raises ValueError for every irregularity."""
    body, signatures = split_note(text)
    lines = body[:-1].split("\n")
    if len(lines) != 6 or lines[0] != KIND:
        raise ValueError("not an activation")
    _, controller_id, sequence, digest, previous, instant = lines
    fitting = (
        _CONTROLLER.fullmatch(controller_id)
        and _SEQUENCE.fullmatch(sequence)
        and _DIGEST.fullmatch(digest)
        and (previous == "-" or _DIGEST.fullmatch(previous))
    )
    if not fitting:
        raise ValueError("not an activation")
    before, begins = None if previous == "-" else previous, datetime.strptime(instant, _INSTANT).replace(tzinfo=UTC)
    made = Activation(controller_id, int(sequence), digest, before, begins)
    if made.body != body:
        raise ValueError("not an activation")
    return made, signatures


def signers(text: str, known: Iterable[Approver]) -> tuple[Approver, ...]:
    """Return who signed a note. Lines of unknown keys count for nothing. Raises ValueError for a wrong line of a known one."""
    activation, signatures = parse_activation(text)
    found = []
    for approver in known:
        lines = [one for one in signatures if approver.key.made(one)]
        if not all(holds(approver.key.public, one.octets, activation.body.encode()) for one in lines):
            raise ValueError("a signature does not hold")
        if lines:
            found.append(approver)
    return tuple(found)


def refusals(
    text: str, known: Sequence[Approver], *, controller_id: str, digest: str, last: Activation | None, at: datetime, widens: bool
) -> Iterator[str]:
    """Yield the codes of what stands against activating this note now; none: it may come into force.

    `digest` is that of the bundle at hand, `last` the activation in force, `widens` whether anybody would see more.
    """
    try:
        activation, _ = parse_activation(text)
        by = signers(text, known)
    except ValueError:
        yield "note.unfit"
        return
    groups = {one.group for one in by}
    if "policy" not in groups:
        yield "note.unsigned-by-policy"
    if widens and "dpo" not in groups:
        yield "note.unsigned-by-dpo"
    if activation.controller_id != controller_id:
        yield "note.other-controller"
    if activation.digest != digest:
        yield "note.other-bundle"
    if activation.sequence != (last.sequence if last else 0) + 1:
        yield "note.other-sequence"
    if activation.previous != (last.digest if last else None):
        yield "note.other-previous"
    if at < activation.not_before:
        yield "note.too-early"
