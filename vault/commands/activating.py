"""Commands that bring a bundle into force: new-key, sign, activate, rollback, history."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from vault.assembly import Vault
from vault.commands.say import AsJson, ControllerOption, answer, people, said, the_controller
from vault.connectors.policy_keys import make_key, read_approvers, read_key
from vault.errors import Fault, InvalidValue, PolicyUnavailable
from vault.opening import draw_seed, now, open_vault
from vault.operations.activate import Activated, activate, history, roll_back
from vault.operations.in_force import in_force
from vault.policy.activation import Activation, parse_activation, signed_note
from vault.policy.bundle import load_bundle, shipped
from vault.policy.files import read_files
from vault.policy.records import ActivationRow
from vault.settings import read_settings

NoteArgument = Annotated[Path, typer.Argument(help="The activation note, a text file.", dir_okay=False)]
BundleOption = Annotated[
    Path | None,
    typer.Option("--bundle", help="Directory of the bundle; unset: the one of RISERBO_POLICIES, or shipped.", file_okay=False),
]


def new_key(
    name: Annotated[str, typer.Argument(help="What signatures will be known by: no spaces, no +.")],
    file: Annotated[Path, typer.Argument(help="Where the private key goes (0600). Never over an existing file.", dir_okay=False)],
    as_json: AsJson = False,
) -> None:
    """Make a person's own key for signing activations, and print its public half for the file RISERBO_POLICY_KEYS names."""
    with said(as_json=as_json):
        public = make_key(file, name, draw_seed())
        if not as_json:
            typer.echo(public.text)
        text = f"The private key is in {file}: keep it to yourself. A line `<policy|dpo> <person> <key>` makes it count."
        answer({"key": public.text, "file": str(file)}, as_json=as_json, text=text)


def sign(
    note: NoteArgument,
    key: Annotated[Path, typer.Option("--key", help="Your private key.", dir_okay=False)],
    bundle: BundleOption = None,
    digest: Annotated[str | None, typer.Option(help="For a rollback: the sha256:… of a bundle that was in force.")] = None,
    controller: ControllerOption = None,
    sequence: Annotated[int | None, typer.Option(help="With --previous: sign without reaching the vault.", min=1)] = None,
    previous: Annotated[str | None, typer.Option(help="The digest in force before, or - for none.")] = None,
    not_before: Annotated[
        datetime | None, typer.Option(help="UTC, from when it may be activated; unset: from now.", formats=["%Y-%m-%dT%H:%M:%SZ"])
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Sign an activation. The first signer makes the note; the second checks that it names the bundle they hold, and adds a line.

    The bundle must pass the lint. Nothing comes into force by this: `riserbo policy activate` does that.
    """
    with said(as_json=as_json):
        signer, wanted = read_key(key), digest or _linted(_directory(bundle))
        if note.exists():
            text = _countersigned(note, wanted, signer.public.name)
            made, _ = parse_activation(text)
        else:
            made = _next(wanted, controller, sequence, previous, (not_before or now()).replace(tzinfo=UTC, microsecond=0))
            text = signed_note(made, [])
        note.write_text(text + signer.line(made.body))
        document = {**_said(made), "signed_by": signer.public.name, "note": str(note)}
        answer(document, as_json=as_json, text=f"{made.body}signed by {signer.public.name}, in {note}")


def policy_activate(
    note: NoteArgument, bundle: BundleOption = None, controller: ControllerOption = None, as_json: AsJson = False
) -> None:
    """Put a bundle in force: two signatures, the next sequence, the lint, its cases, and every WIDENS of the plan accepted.

    Takes about a minute. Running processes follow within five seconds. Refused or not, it is on record. The same note again puts
    back a row that is missing though the trail has it.
    """
    with said(as_json=as_json):
        settings = read_settings()
        text, files, known = _text(note), read_files(_directory(bundle)), read_approvers(settings.approvers)
        with open_vault(settings) as opened:
            name = the_controller(opened.vault.database.controllers(), controller)
            people.print("Lint, cases and plan …")
            done = activate(opened.vault.closing(name), name, text, files, known, opened.trail.settle)
        _tell(done, as_json=as_json)


def rollback(note: NoteArgument, controller: ControllerOption = None, as_json: AsJson = False) -> None:
    """Put a bundle back in force that was before: a new sequence, signed by two people, of a digest the vault has kept."""
    with said(as_json=as_json):
        settings = read_settings()
        text, known = _text(note), read_approvers(settings.approvers)
        with open_vault(settings) as opened:
            name = the_controller(opened.vault.database.controllers(), controller)
            done = roll_back(opened.vault.closing(name), name, text, known, opened.trail.settle)
        _tell(done, as_json=as_json)


def policy_history(controller: ControllerOption = None, as_json: AsJson = False) -> None:
    """List every bundle that came into force, compared with the trail. Exit status 1 when the two say different things."""
    with said(as_json=as_json), open_vault(read_settings()) as opened:
        name = the_controller(opened.vault.database.controllers(), controller)
        rows = history(opened.vault.database, opened.vault.keys, name)
        document = {"controller_id": name, "activations": [_row(one) for one in rows]}
        answer(document, as_json=as_json, text=_lines(rows))


def _directory(bundle: Path | None) -> Path:
    return bundle or read_settings().policies or shipped()


def _linted(directory: Path) -> str:
    """Return the digest of a directory's bundle. Raises InvalidValue with what the lint finds."""
    try:
        return load_bundle(directory).digest
    except ValueError as error:
        faults = [Fault(path, what) for path, _, what in (one.partition(": ") for one in str(error).split("\n"))]
        raise InvalidValue("policy-unsound", faults=faults) from None


def _text(note: Path) -> str:
    try:
        return note.read_text()
    except (OSError, UnicodeDecodeError):
        raise InvalidValue(faults=[Fault("NOTE", "note.unreadable")]) from None


def _countersigned(note: Path, digest: str, name: str) -> str:
    """Return a note that is there, if it is of this bundle and lacks this signature."""
    text = _text(note)
    try:
        made, lines = parse_activation(text)
    except ValueError:
        raise InvalidValue(faults=[Fault("NOTE", "note.unfit")]) from None
    if made.digest != digest:
        raise InvalidValue(faults=[Fault("NOTE", "note.other-bundle")])
    if name in {one.name for one in lines}:
        raise InvalidValue(faults=[Fault("NOTE", "note.signed-already")])
    return text


def _next(digest: str, controller: str | None, sequence: int | None, previous: str | None, not_before: datetime) -> Activation:
    """Return the activation that would follow: as said, or as the vault says."""
    if (sequence is None) != (previous is None) or (sequence is not None and controller is None):
        raise InvalidValue(faults=[Fault("--sequence", "needs --previous and --controller")])
    if sequence is not None and controller is not None:
        made = Activation(controller, sequence, digest, None if previous == "-" else previous, not_before)
    else:
        with open_vault(read_settings()) as opened:
            name = the_controller(opened.vault.database.controllers(), controller)
            last = _last(opened.vault, name)
        made = Activation(name, (last.sequence if last else 0) + 1, digest, last.digest if last else None, not_before)
    try:
        return parse_activation(signed_note(made, ["— nobody AAAAAAA=\n"]))[0]
    except ValueError:
        raise InvalidValue(faults=[Fault("NOTE", "note.unfit")]) from None


def _last(vault: Vault, controller_id: str) -> ActivationRow | None:
    try:
        return in_force(vault.database, vault.keys, controller_id)
    except PolicyUnavailable as error:
        if error.code == "policy-never-activated":
            return None
        raise


def _said(made: Activation) -> dict[str, Any]:
    return {
        "controller_id": made.controller_id,
        "sequence": made.sequence,
        "digest": made.digest,
        "previous": made.previous,
        "not_before": made.not_before.isoformat(),
    }


def _row(one: ActivationRow) -> dict[str, Any]:
    return {
        "sequence": one.sequence,
        "digest": one.digest,
        "previous": one.previous,
        "activated_at": one.activated_at.isoformat(),
        "entry_id": one.entry_id,
        "signed": one.note is not None,
    }


def _tell(done: Activated, *, as_json: bool) -> None:
    words = "is put back" if done.repaired else "is in force"
    text = f"Sequence {done.row.sequence} {words}: {done.row.digest} ({done.row.entry_id})."
    answer({**_row(done.row), "repaired": done.repaired}, as_json=as_json, text=text)


def _lines(rows: Sequence[ActivationRow]) -> str:
    if not rows:
        return "Nothing was ever activated."
    return "\n".join(f"{one.sequence:>4}  {one.activated_at:%Y-%m-%d %H:%M} UTC  {one.digest}  {one.entry_id}" for one in rows)
