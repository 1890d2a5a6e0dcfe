"""The offline verifier: the published vectors, every proof up to 130 entries, and each way of lying to it.

It shares no code with the vault, so what the vault makes and what it accepts are two opinions of the same formats.
"""

import ast
import json
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.audit.reports import KEY, ORIGIN, SIGNING, leaf, note_of, run, tree_of
from vault.audit import offline
from vault.audit.checkpoint import Checkpoint, cosignature_line, cosignature_text, note_text
from vault.audit.merkle import leaf_hash
from vault.audit.proofs import LogProof
from vault.notes import COSIGNATURE, VerifierKey

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent.parent / "vectors" / "audit.json").read_text())
SOURCE = Path(offline.__file__)
WITNESS = Ed25519PrivateKey.from_private_bytes(bytes(range(0x70, 0x90)))
WITNESS_KEY = VerifierKey("dpo.example/witness", WITNESS.public_key().public_bytes_raw(), COSIGNATURE)
LEAVES = [leaf(number) for number in range(300)]
HASHES = [leaf_hash(one) for one in LEAVES]
Capsys = pytest.CaptureFixture[str]


# --- what it is


def test_it_imports_nothing_but_the_standard_library_and_cryptography() -> None:
    tree = ast.parse(SOURCE.read_text())
    named = {one.name for node in ast.walk(tree) if isinstance(node, ast.Import) for one in node.names}
    named |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in named} - sys.stdlib_module_names == {"cryptography"}
    assert not any(isinstance(node, ast.ImportFrom) and node.level for node in ast.walk(tree))
    assert "__import__" not in SOURCE.read_text()
    assert "importlib" not in SOURCE.read_text()


def test_it_runs_where_there_is_no_vault(tmp_path: Path) -> None:
    alone = tmp_path / "offline.py"
    alone.write_bytes(SOURCE.read_bytes())
    helped = subprocess.run([sys.executable, "-I", alone, "--help"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert all(command in helped.stdout for command in ("proof", "consistency", "log", "report", "witness"))
    (tmp_path / "leaves").write_text("".join(f"{one.hex()}\n" for one in LEAVES[:3]))
    (tmp_path / "checkpoint").write_text(note_of(3, tree_of(HASHES[:3]).root()))
    line = [sys.executable, "-I", "-W", "error", str(alone), "log", "leaves", "checkpoint", "--key"]
    for key, status in ((KEY.text, 0), (VerifierKey(ORIGIN, bytes(32)).text, 1), ("no-such-file", 2)):
        assert subprocess.run([*line, key], cwd=tmp_path, capture_output=True, check=False).returncode == status
    assert subprocess.run(line[:5], cwd=tmp_path, capture_output=True, check=False).returncode == 2


# --- the published vectors


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """The three entries of the vectors, their checkpoint with its cosignature, and the proofs, as files."""
    from tests.audit.test_vectors import LEAVES as MADE  # noqa: PLC0415 - the third leaf is published as its hash
    from vault.audit.entry import encode  # noqa: PLC0415

    texts = [encode(one()) for one in MADE]
    assert [leaf_hash(one).hex() for one in texts] == [one["hash"] for one in VECTORS["leaves"]]
    hashes = [bytes.fromhex(one["hash"]) for one in VECTORS["leaves"]]
    point = Checkpoint(VECTORS["origin"], 3, bytes.fromhex(VECTORS["root_of_3"]))
    note = note_text(point, [VECTORS["signature_line"] + "\n", VECTORS["witness_line"] + "\n"])
    (tmp_path / "checkpoint").write_text(note)
    (tmp_path / "older").write_text(note_of(2, bytes.fromhex(VECTORS["root_of_2"])))
    (tmp_path / "leaves").write_text("".join(f"{one.hex()}\n" for one in texts))
    (tmp_path / "leaf").write_bytes(texts[1])
    (tmp_path / "proof").write_text(LogProof(1, (hashes[0], hashes[2]), note).text)
    (tmp_path / "consistency").write_text(b64encode(hashes[2]).decode() + "\n")
    (tmp_path / "key").write_text(VECTORS["vkey"] + "\n")
    return tmp_path


def test_the_published_log_proofs_and_cosignature_hold(published: Path, capsys: Capsys) -> None:
    place, key = published, ("--key", published / "key")
    assert run(capsys, "log", place / "leaves", place / "checkpoint", *key)[0] == 0
    assert run(capsys, "proof", place / "leaf", place / "proof", *key) == (
        0, "VERIFIED: the entry is at position 1 of vault.example/audit/ctl-1/1, which had 3 entries.\n",
    )  # fmt: skip
    assert run(capsys, "consistency", place / "older", place / "checkpoint", place / "consistency", *key)[0] == 0
    status, said = run(capsys, "witness", place / "checkpoint", *key, "--witness", WITNESS_KEY.text)
    assert (status, "dpo.example/witness saw" in said, "2026-10-03T" in said) == (0, True, True)


def test_the_published_tags_and_commitment_are_made_the_same_way() -> None:
    import hashlib  # noqa: PLC0415 - as a stranger would spell it
    import hmac  # noqa: PLC0415

    chain_key, tag = bytes.fromhex(VECTORS["chain_key"]), b""
    for number, published_tag in enumerate(VECTORS["tags"], 1):
        message = offline.lp(f"ent-{number + 1}".encode()) + number.to_bytes(8, "big") + offline.lp(tag)
        tag = hmac.new(chain_key, message, hashlib.sha256).digest()[:16]
        assert offline.b64u(tag) == published_tag
    leaf_2 = offline.leaf_of(VECTORS["leaves"][1]["text"].encode(), "leaf")
    said = json.dumps(VECTORS["details"], separators=(",", ":"), sort_keys=True)
    beside = {"details": said, "salt": offline.b64u(bytes.fromhex(VECTORS["salts"][0]))}
    assert offline.opened(leaf_2, beside, "sub-1", "leaf") == VECTORS["details"]


# --- proofs of every size


def test_every_inclusion_proof_up_to_130_leads_to_the_root() -> None:
    for size in range(1, 131):
        tree = tree_of(HASHES[:size])
        root = tree.root()
        for index in range(size):
            path = tree.inclusion(index)
            assert offline.root_above(HASHES[index], index, size, path) == root


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 13, 130])
def test_no_changed_inclusion_proof_does(size: int) -> None:
    tree = tree_of(HASHES[:size])
    for index in range(size):
        path = tree.inclusion(index)
        changed = [[*path, HASHES[0]], [HASHES[0], *path]]
        changed += [path[:at] + path[at + 1 :] for at in range(len(path))]
        changed += [[*path[:at], bytes(32), *path[at + 1 :]] for at in range(len(path))]
        assert not [one for one in changed if leads(HASHES[index], index, size, one, tree.root())]
        assert not leads(HASHES[index + 1], index, size, path, tree.root())
        assert not [to for to in (index - 1, index + 1) if 0 <= to < size and leads(HASHES[index], to, size, path, tree.root())]


def leads(hashed: bytes, index: int, size: int, path: list[bytes], root: bytes) -> bool:
    try:
        return offline.root_above(hashed, index, size, path) == root
    except offline.Wrong:
        return False


def test_every_consistency_proof_up_to_130_leads_to_both_roots() -> None:
    roots = [tree_of(HASHES[:size]).root() if size else b"" for size in range(131)]
    for size in range(1, 131):
        tree = tree_of(HASHES[:size])
        for old in range(1, size + 1):
            assert offline.both_roots(old, size, tree.consistency(old), roots[old]) == (roots[old], roots[size])


@pytest.mark.parametrize(("old", "size"), [(1, 2), (2, 3), (3, 3), (4, 7), (6, 130), (64, 130), (129, 130)])
def test_no_changed_consistency_proof_does(old: int, size: int) -> None:
    tree, older = tree_of(HASHES[:size]), tree_of(HASHES[:old]).root()
    path = tree.consistency(old)
    changed = [[*path, HASHES[0]], [HASHES[0], *path]]
    changed += [path[:at] + path[at + 1 :] for at in range(len(path))]
    changed += [[*path[:at], bytes(32), *path[at + 1 :]] for at in range(len(path))]
    assert not [one for one in changed if continues(old, size, one, older, tree.root())]
    assert not continues(old, size, path, bytes(32), tree.root())
    if old > 1:
        assert not continues(old - 1, size, path, tree_of(HASHES[: old - 1]).root(), tree.root())


def continues(old: int, size: int, path: list[bytes], older: bytes, newer: bytes) -> bool:
    try:
        return offline.both_roots(old, size, path, older) == (older, newer)
    except offline.Wrong:
        return False


# --- a log


@pytest.fixture
def files(tmp_path: Path) -> Callable[..., tuple[Path, Path]]:
    """Write a log's lines and a checkpoint, and return both paths."""

    def write(lines: list[str], note: str) -> tuple[Path, Path]:
        (tmp_path / "leaves").write_text("".join(f"{line}\n" for line in lines))
        (tmp_path / "note").write_text(note)
        return tmp_path / "leaves", tmp_path / "note"

    return write


LINES = [one.hex() for one in LEAVES]
NOTE = note_of(300, tree_of(HASHES).root())
LogFiles = Callable[..., tuple[Path, Path]]


@pytest.mark.parametrize("pruned", ["none", "hashes", "a tile"])
def test_a_whole_log_holds_with_hashes_where_it_was_pruned(files: LogFiles, capsys: Capsys, pruned: str) -> None:
    lines = {
        "none": LINES,
        "hashes": [f"h:{one.hex()}" for one in HASHES[:7]] + LINES[7:],
        "a tile": [f"t:{tree_of(HASHES[:256]).root().hex()}", *LINES[256:]],
    }[pruned]
    status, said = run(capsys, "log", *files(lines, NOTE), "--key", KEY.text)
    assert (status, "300 entries" in said) == (0, True)
    assert ("as hashes only" in said) == (pruned != "none")


@pytest.mark.parametrize(
    ("lines", "note", "told"),
    [
        ([], NOTE, "empty"),
        ([], note_of(0, tree_of([]).root()), "empty log"),
        (LINES[:299], NOTE, "shorter"),
        ([*LINES, leaf(301).hex()], NOTE, "nobody signed"),
        ([LINES[1], LINES[0], *LINES[2:]], NOTE, "another"),
        ([leaf(0, more=1).hex(), *LINES[1:]], NOTE, "another"),
        ([*LINES[:298], LINES[299], LINES[298]], NOTE, "another"),
        ([LINES[0].upper(), *LINES[1:]], NOTE, "lower case"),
        (["zz", *LINES[1:]], NOTE, "not hex"),
        (["", *LINES[1:]], NOTE, "empty or too long"),
        ([b'{"a":1,"a":1}'.hex(), *LINES[1:]], NOTE, "stands twice"),
        ([b'{"b":1,"a":1}'.hex(), *LINES[1:]], NOTE, "one spelling"),
        ([b'{"a":1.5}'.hex(), *LINES[1:]], NOTE, "not whole"),
        ([b'{"a":NaN}'.hex(), *LINES[1:]], NOTE, "not whole"),
        ([b'{"a":"\\ud800"}'.hex(), *LINES[1:]], NOTE, "not text"),
        ([b"[1]".hex(), *LINES[1:]], NOTE, "not an object"),
        ([b"{".hex(), *LINES[1:]], NOTE, "not JSON"),
        ([(b'{"a":"' + b"x" * 8192 + b'"}').hex(), *LINES[1:]], NOTE, "too long"),
        ([LINES[0], f"t:{HASHES[0].hex()}"], NOTE, "does not begin where one may"),
        (["h:00", *LINES[1:]], NOTE, "not a hash"),
        (LINES, NOTE.partition("\n\n")[0] + "\n", "not signed"),
        (LINES, NOTE.partition("\n\n")[0] + "\n\n", "not signed"),
        (LINES, NOTE.replace("— ", "- "), "not a signature line"),
        (LINES, NOTE.replace(ORIGIN, "vault.example/audit/ctl-2/1"), "not signed by"),
        (LINES, note_of(300, HASHES[0]), "another"),
        (LINES, note_of(300, b"short"), "no hash"),
        (LINES, NOTE.replace("\n300\n", "\n299\n"), "signature does not hold"),
        (LINES, note_of(300, tree_of(HASHES).root(), signing=WITNESS), "signature does not hold"),
    ],
    ids=[str(number) for number in range(28)],
)
def test_each_thing_wrong_with_a_log_is_seen(files: LogFiles, capsys: Capsys, lines: list[str], note: str, told: str) -> None:
    status, said = run(capsys, "log", *files(lines, note), "--key", KEY.text)
    assert status == 1
    assert said.startswith("NOT VERIFIED: ")
    assert told in said


def test_a_checkpoint_of_other_lines_is_none(files: LogFiles, capsys: Capsys) -> None:
    for body, told in (
        (f"{ORIGIN}\n300\n", "three lines"),
        (f"vault.example/audit/ctl-2/1\n300\n{b64encode(bytes(32)).decode()}\n", "another log"),
        (f"{ORIGIN}\n0300\n{b64encode(bytes(32)).decode()}\n", "not a number"),
        (f"{ORIGIN}\n300\n!\n", "not base64"),
        (f"{ORIGIN}\n300\n{b64encode(bytes(32)).decode()[:-2]}B=\n", "one spelling"),
    ):
        note = f"{body}\n{KEY.line(SIGNING.sign(body.encode()))}"
        status, said = run(capsys, "log", *files(LINES, note), "--key", KEY.text)
        assert (status, told in said) == (1, True), said


@pytest.mark.parametrize(
    ("key", "told"),
    [
        (WITNESS_KEY.text, "of another kind"),
        (KEY.text.replace("+3d", "+3e"), "does not fit"),
        (f"{KEY.text}+more", "not base64"),
        (KEY.text.replace(ORIGIN, ""), "does not fit"),
        (f"{ORIGIN} AAAA", "not a name and a key"),
        (f"{ORIGIN} +", "not base64"),
    ],
)
def test_a_key_that_is_none_is_refused(files: LogFiles, capsys: Capsys, key: str, told: str) -> None:
    status, said = run(capsys, "log", *files(LINES, NOTE), "--key", key)
    assert (status, told in said) == (1, True), said


def test_a_key_is_given_as_the_vault_tells_it_or_as_a_file(files: LogFiles, capsys: Capsys, tmp_path: Path) -> None:
    told = f"{ORIGIN} {b64encode(KEY.public).decode()}"
    (tmp_path / "a key").write_text(f"{told}\n")
    for key in (told, str(tmp_path / "a key")):
        assert run(capsys, "log", *files(LINES, NOTE), "--key", key)[0] == 0
    other = f"{ORIGIN} {b64encode(bytes(32)).decode()}"
    assert run(capsys, "log", *files(LINES, NOTE), "--key", other)[0] == 1
    (tmp_path / "neither").write_text("anything\n")
    status, said = run(capsys, "log", *files(LINES, NOTE), "--key", str(tmp_path / "neither"))
    assert (status, "neither name+id+base64" in said) == (1, True), said


def test_what_cannot_be_read_is_told_apart_from_what_is_false(files: LogFiles, capsys: Capsys, tmp_path: Path) -> None:
    leaves, note = files(LINES, NOTE)
    assert run(capsys, "log", tmp_path / "nowhere", note, "--key", KEY.text)[0] == 2
    leaves.write_bytes(b"\xff\n")
    status, said = run(capsys, "log", leaves, note, "--key", KEY.text)
    assert (status, said) == (1, "NOT VERIFIED: something is not of the form it must have\n")
    with pytest.raises(SystemExit) as usage:
        offline.main(["log"])
    assert usage.value.code == 2


# --- proofs and witnesses as files


def test_a_proof_is_of_this_leaf_at_this_place(tmp_path: Path, capsys: Capsys) -> None:
    tree = tree_of(HASHES[:7])
    note, path = note_of(7, tree.root()), tuple(tree.inclusion(4))
    (tmp_path / "leaf").write_text(LINES[4] + "\n")
    right = LogProof(4, path, note).text
    for proof, status, told in (
        (right, 0, "position 4"),
        (LogProof(3, path, note).text, 1, "not in the log"),
        (LogProof(4, path[:-1], note).text, 1, "too few"),
        (LogProof(4, (*path, path[0]), note).text, 1, "too many"),
        (LogProof(7, path, note).text, 1, "behind the log's end"),
        (right.replace("index 4", "index 04"), 1, "not a number"),
        (right.replace("index", "place"), 1, "no index"),
        (right.replace("proof@v1", "proof@v2"), 1, "not a proof"),
        (right.replace(b64encode(path[0]).decode(), "AAAA"), 1, "not hashes"),
    ):
        (tmp_path / "proof").write_text(proof)
        found = run(capsys, "proof", tmp_path / "leaf", tmp_path / "proof", "--key", KEY.text)
        assert (found[0], told in found[1]) == (status, True), found


def test_a_shorter_log_continues_nothing(tmp_path: Path, capsys: Capsys) -> None:
    notes = {size: tmp_path / str(size) for size in (3, 7)}
    for size, place in notes.items():
        place.write_text(note_of(size, tree_of(HASHES[:size]).root()))
    (tmp_path / "proof").write_text("".join(f"{b64encode(one).decode()}\n" for one in tree_of(HASHES[:7]).consistency(3)))
    assert run(capsys, "consistency", notes[3], notes[7], tmp_path / "proof", "--key", KEY.text)[0] == 0
    status, said = run(capsys, "consistency", notes[7], notes[3], tmp_path / "proof", "--key", KEY.text)
    assert (status, "shorter" in said) == (1, True)
    notes[3].write_text(note_of(3, HASHES[0]))
    status, said = run(capsys, "consistency", notes[3], notes[7], tmp_path / "proof", "--key", KEY.text)
    assert (status, "does not continue" in said) == (1, True)


def test_a_cosignature_is_the_witness_s_over_this_checkpoint(tmp_path: Path, capsys: Capsys) -> None:
    point = Checkpoint(ORIGIN, 7, tree_of(HASHES[:7]).root())
    own = KEY.line(SIGNING.sign(point.body.encode()))

    def cosigned(at: int, body: str = point.body, told_at: int | None = None) -> str:
        signature = WITNESS.sign(cosignature_text(body, at))
        return note_text(point, [own, cosignature_line(WITNESS_KEY, signature, at if told_at is None else told_at)])

    for note, status, told in (
        (cosigned(1791040000), 0, "at 2026-10-03T"),
        (cosigned(1 << 40), 0, "an impossible time"),
        (cosigned(1791040000, told_at=1791040001), 1, "signature does not hold"),
        (cosigned(1791040000, body=point.body.replace("\n7\n", "\n8\n")), 1, "signature does not hold"),
        (note_text(point, [own]), 1, "not signed by dpo.example/witness"),
        (note_text(point, [own, WITNESS_KEY.line(bytes(64))]), 1, "not a cosignature"),
    ):
        (tmp_path / "note").write_text(note)
        found = run(capsys, "witness", tmp_path / "note", "--key", KEY.text, "--witness", WITNESS_KEY.text)
        assert (found[0], told in found[1]) == (status, True), found
