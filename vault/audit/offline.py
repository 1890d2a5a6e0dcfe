"""Check what a Riserbo vault gave you, without the vault: one file, only Python's standard library and `cryptography`.

`python offline.py --help` lists the commands. Exit status 0: it holds. 1: it does not. 2: wrong usage, or a file that cannot be
read. Take the key (`name+id+base64`, or `NAME KEY`) from somebody you trust, never from what you check: whoever changed the log
could sign the change with a key of their own. Nothing is sent anywhere and nothing is written.

What is checked, and by which rule:

  leaf        one entry of the log, JSON in one spelling only. Its hash is SHA-256(0x00 ‖ leaf)               RFC 9162, 2.1.1
  tree        two hashes make SHA-256(0x01 ‖ left ‖ right); the log's root stands for every entry, in order   RFC 9162, 2.1.1
  checkpoint  the log's name, size and root, signed with Ed25519                            C2SP signed-note, tlog-checkpoint
  proof       the hashes beside an entry's way up to the root                               RFC 9162, 2.1.3; C2SP tlog-proof
  consistency an older log is the beginning of a newer one: nothing was changed or taken out            RFC 9162, 2.1.4
  witness     somebody else signed that they saw this checkpoint, and when                             C2SP tlog-cosignature
  report      a customer's list of who looked. Each of a person's entries carries a tag,
              HMAC-SHA256(chain key, lp(entry id) ‖ number ‖ lp(tag before)), 16 bytes, so one left out breaks all after it;
              what is said of an entry was committed to by HMAC-SHA256(salt, what is said) when it was written.

lp(x) is the length of x in two bytes, then x. Numbers are big-endian, 8 bytes. `b64u` is base64 for URLs without `=`.
"""

import argparse
import base64
import hashlib
import hmac
import json
import re
import sys
import zipfile
import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

LONGEST_LEAF = 8192
ENTRY_ID = re.compile("ent_[a-z2-7]{26}")

Json = dict[str, Any]
Kind = TypeVar("Kind")
Key = tuple[str, bytes, bytes]  # name, id, and the public key or what a signature line holds
Point = tuple[str, int, bytes]  # a log's name, size and root


class Wrong(Exception):
    """Something does not hold; the text says what."""


def expect(holds: object, what: str) -> None:
    """Go on only if it holds."""
    if not holds:
        raise Wrong(what)


# --- bytes and texts -------------------------------------------------------------------------------------------------------


def unbase64(text: str, what: str) -> bytes:
    """Return the bytes of base64 in its one spelling."""
    try:
        octets = base64.b64decode(text, validate=True)
    except ValueError:
        raise Wrong(f"{what}: not base64") from None
    expect(base64.b64encode(octets).decode() == text, f"{what}: not base64 in its one spelling")
    return octets


def b64u(octets: bytes) -> str:
    """Return base64 for URLs, without padding."""
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def un_b64u(text: str, what: str) -> bytes:
    """Return the bytes of a text that is `b64u`."""
    return unbase64(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), what)


def number_of(text: str, what: str) -> int:
    """Return a number written in digits, without a leading zero."""
    expect(text.isascii() and text.isdigit() and str(int(text)) == text, f"{what}: not a number")
    return int(text)


def lp(octets: bytes) -> bytes:
    """Return the length in two bytes, then the bytes."""
    return len(octets).to_bytes(2, "big") + octets


def members(octets: bytes, what: str) -> Json:
    """Return a JSON object. Refused: a name said twice (readers would differ in which counts), numbers that are not whole."""

    def once(pairs: list[tuple[str, Any]]) -> Json:
        expect(len({name for name, _ in pairs}) == len(pairs), f"{what}: a name stands twice")
        return dict(pairs)

    def never(_text: str) -> None:
        raise Wrong(f"{what}: a number that is not whole")

    try:
        found: Json = json.loads(octets.decode(), object_pairs_hook=once, parse_float=never, parse_constant=never)
    except (ValueError, RecursionError):
        raise Wrong(f"{what}: not JSON") from None
    expect(isinstance(found, dict), f"{what}: not an object")
    return found


def part(of: Json, name: str, kind: type[Kind], what: str) -> Kind:
    """Return a member that must be there, and of its kind."""
    found = of.get(name)
    if type(found) is not kind:
        raise Wrong(f"{what}: {name} is missing")
    return found


def leaf_of(octets: bytes, what: str) -> Json:
    """Return the members of a leaf, which has one spelling only (RFC 8785)."""
    expect(0 < len(octets) <= LONGEST_LEAF, f"{what}: empty or too long for a leaf")
    found = members(octets, what)
    try:
        spelt = json.dumps(found, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    except ValueError:
        raise Wrong(f"{what}: not text") from None
    expect(spelt == octets, f"{what}: not in the one spelling of a leaf")
    return found


# --- keys, notes, checkpoints ----------------------------------------------------------------------------------------------


def key_of(text: str, kind: int) -> Key:
    """Return name, id and public key of a verifier key. `kind` 1: of a log; 4: of a witness."""
    name, _, rest = text.strip().partition("+")
    identity, plus, encoded = rest.partition("+")
    expect(plus, "verifier key: neither name+id+base64 nor a name, a blank and a key")
    octets = unbase64(encoded, "verifier key")
    expect(len(octets) == 33 and octets[0] == kind, "verifier key: of another kind")
    made = hashlib.sha256(name.encode() + b"\n" + octets).digest()[:4]
    expect(name and made.hex() == identity, "verifier key: its id does not fit")
    return name, made, octets[1:]


def lines_of(note: str) -> tuple[str, list[Key]]:
    """Return the signed text of a note and its signature lines: name, key id, the rest."""
    body, blank, rest = note.partition("\n\n")
    expect(blank and rest.endswith("\n"), "note: not signed")
    found = []
    for line in rest[:-1].split("\n"):
        dash, _, signed = line.partition(" ")
        name, _, encoded = signed.partition(" ")
        octets = unbase64(encoded, "signature")
        expect(dash == "—" and len(octets) > 4, "signature: not a signature line")
        found.append((name, octets[:4], octets[4:]))
    return body + "\n", found


def signed_by(note: str, key: Key) -> tuple[str, list[bytes]]:
    """Return the text and what follows the key's id in each of its lines; there is one at least."""
    body, lines = lines_of(note)
    name, identity, _ = key
    own = [octets for named, made, octets in lines if (named, made) == (name, identity)]
    expect(own, f"note: not signed by {name}")
    return body, own


def verify(public: bytes, signature: bytes, message: bytes, what: str) -> None:
    """Go on only if an Ed25519 signature holds."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        raise Wrong(f"{what}: the signature does not hold") from None


def checkpoint_of(note: str, key: Key) -> Point:
    """Return name, size and root of a signed checkpoint. Refused: unsigned, another log's, of an empty log."""
    body, signatures = signed_by(note, key)
    for signature in signatures:
        verify(key[2], signature, body.encode(), "checkpoint")
    lines = body[:-1].split("\n")
    expect(len(lines) == 3, "checkpoint: not three lines")
    expect(lines[0] == key[0], "checkpoint: of another log than the key's")
    size, root = number_of(lines[1], "checkpoint's size"), unbase64(lines[2], "checkpoint's root")
    expect(size > 0, "checkpoint: of an empty log, which proves nothing")
    expect(len(root) == 32, "checkpoint: the root is no hash")
    return lines[0], size, root


# --- the tree --------------------------------------------------------------------------------------------------------------


def leaf_hash(leaf: bytes) -> bytes:
    """Return the hash of a leaf."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def join(left: bytes, right: bytes) -> bytes:
    """Return the hash of two hashes."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def left_part(size: int) -> int:
    """Return how many leaves lie left of the top: the largest power of two below `size`."""
    return 1 << (size - 1).bit_length() - 1


def root_above(leaf: bytes, index: int, size: int, path: list[bytes]) -> bytes:
    """Return the root that a leaf's proof leads to. `path` runs from the leaf's neighbour up."""
    if size == 1:
        expect(not path, "proof: too many hashes")
        return leaf
    expect(path, "proof: too few hashes")
    left = left_part(size)
    if index < left:
        return join(root_above(leaf, index, left, path[:-1]), path[-1])
    return join(path[-1], root_above(leaf, index - left, size - left, path[:-1]))


def both_roots(old: int, size: int, path: list[bytes], known: bytes | None) -> tuple[bytes, bytes]:
    """Return the older and the newer root a consistency proof leads to. `known`: the older root, where no hash stands for it."""
    if old == size:
        expect(len(path) == (known is None), "consistency: not the right number of hashes")
        node = path[0] if known is None else known
        return node, node
    expect(path, "consistency: too few hashes")
    left = left_part(size)
    if old <= left:
        older, newer = both_roots(old, left, path[:-1], known)
        return older, join(newer, path[-1])
    older, newer = both_roots(old - left, size - left, path[:-1], None)
    return join(path[-1], older), join(path[-1], newer)


class Growing:
    """The root of a log read from its beginning: only the tops of its complete parts are kept."""

    def __init__(self) -> None:
        self.size = 0
        self.parts: list[tuple[bytes, int]] = []

    def add(self, node: bytes, height: int = 0) -> None:
        """Add a leaf's hash, or that of 2^height leaves."""
        expect(self.size % (1 << height) == 0, "log: a tile does not begin where one may")
        self.size += 1 << height
        while self.parts and self.parts[-1][1] == height:
            node, height = join(self.parts.pop()[0], node), height + 1
        self.parts.append((node, height))

    def root(self) -> bytes:
        """Return the root of what was added."""
        node = self.parts[-1][0]
        for part, _ in reversed(self.parts[:-1]):
            node = join(part, node)
        return node


def hashes_of(lines: list[str], what: str) -> list[bytes]:
    """Return the hashes of lines of base64."""
    found = [unbase64(line, what) for line in lines]
    expect(len(found) <= 63 and all(len(one) == 32 for one in found), f"{what}: not hashes")
    return found


def included(leaf: bytes, proof: str, key: Key, what: str) -> tuple[int, Point]:
    """Go on only if a leaf's hash is where its `.tlog-proof` says; return its position, and the log's name, size and root."""
    head, _, note = proof.partition("\n\n")
    lines = head.split("\n")
    expect(lines[0] == "c2sp.org/tlog-proof@v1" and len(lines) > 1, f"{what}: not a proof")
    expect(lines[1].startswith("index "), f"{what}: no index")
    name, size, root = checkpoint_of(note, key)
    index, path = number_of(lines[1][6:], f"{what}: index"), hashes_of(lines[2:], what)
    expect(index < size, f"{what}: behind the log's end")
    expect(root_above(leaf, index, size, path) == root, f"{what}: not in the log")
    return index, (name, size, root)


# --- a customer's report ---------------------------------------------------------------------------------------------------

FROM_LEAF = {"entry_id": "id", "role": "roles"} | {
    name: name for name in ("operation", "outcome", "purpose", "channel", "recipient", "fields")
}
FROM_DETAILS = ("team", "reason")
NOT_PROVED = ("agent", "name", "system")  # sealed from you: the vault's word
FOR_OTHERS = {
    "entry_id",
    "month",
    *FROM_LEAF,
    "basis",
    "agreement",
    "agent",
    "system",
}  # all that is said where others must be protected


def files_of(place: Path) -> dict[str, bytes]:
    """Return a bundle's files by name, from a folder or a ZIP."""
    if place.is_dir():
        return {one.relative_to(place).as_posix(): one.read_bytes() for one in sorted(place.rglob("*")) if one.is_file()}
    with zipfile.ZipFile(place) as packed:
        names = [one.filename for one in packed.infolist()]
        expect(len(set(names)) == len(names), "bundle: a file stands twice")
        return {name: packed.read(name) for name in names}


def opened(leaf: Json, evidence: Json, whose: str, what: str) -> Json:
    """Return what was committed to in a leaf, once the commitment holds and it is about the person whose report this is."""
    if "details" not in leaf:
        expect("details" not in evidence, f"{what}: something is said that nothing was committed to")
        return {}
    text, salt = part(evidence, "details", str, what), un_b64u(part(evidence, "salt", str, what), what)
    made = hmac.new(salt, text.encode(), hashlib.sha256).digest()
    expect(b64u(made) == leaf["details"], f"{what}: what is said is not what was committed to")
    details = members(text.encode(), what)
    expect(details.get("subject_id", whose) == whose, f"{what}: it is about another person")
    return details


def said_of(leaf: Json, details: Json, position: int) -> Json:
    """Return what the list must say of an entry, from its leaf and what was committed to."""
    at = datetime.fromtimestamp(leaf["at"] // 1000, UTC).isoformat()[:19]
    said = {"position": position, "at": f"{at}.{leaf['at'] % 1000:03d}Z"}
    said |= {name: leaf[there] for name, there in FROM_LEAF.items() if there in leaf}
    said |= {name: details[name] for name in FROM_DETAILS if name in details}
    if "ticket" in details:
        said["ticket"] = details["ticket"]["id"]
    if details.get("agreements"):
        said["agreement"] = sorted({held if name == "*" else name for name, held in details["agreements"].items()})
    if details.get("basis"):
        said["basis"] = sorted(set(details["basis"].values()))
    return said


class Bundle:
    """A customer's report as it was handed over: its files, the checkpoint it leads to, and whose it is."""

    def __init__(self, files: dict[str, bytes], key: Key) -> None:
        for name in ("accesses/checkpoint", "accesses/accesses.json", "accesses/evidence.json"):
            expect(name in files, f"bundle: {name} is missing")
        self.files, self.key = files, key
        self.point = checkpoint_of(files["accesses/checkpoint"].decode(), key)
        self.shown, self.evidence = (members(files[f"accesses/{name}.json"], name) for name in ("accesses", "evidence"))
        self.subject_id = part(self.shown, "subject_id", str, "bundle")


def check_entry(row: Json, evidence: Json, tag: bytes, bundle: Bundle) -> Json | None:
    """Check one entry of a report against the log, its commitment and its tag; return its leaf, None where others are protected."""
    what = row["entry_id"]
    if "leaf" not in evidence:
        expect(un_b64u(part(evidence, "tag", str, what), what) == tag, f"{what}: one entry or more was left out before this one")
        expect(row.keys() <= FOR_OTHERS, f"{what}: more is said than may be where others are protected")
        return None
    octets = part(evidence, "leaf", str, what).encode()
    leaf = leaf_of(octets, what)
    expect(leaf.get("id") == what, f"{what}: the leaf is of another entry")
    expect(leaf.get("subject") == b64u(tag), f"{what}: one entry or more was left out before this one")
    proof = bundle.files.pop(f"accesses/proofs/{what}.tlog-proof", b"").decode()
    expect(proof, f"{what}: its proof is missing")
    position, found = included(leaf_hash(octets), proof, bundle.key, what)
    expect(found == bundle.point, f"{what}: its proof leads to another checkpoint")
    said = said_of(leaf, opened(leaf, evidence, bundle.subject_id, what), position)
    proved = {name: one for name, one in row.items() if name not in NOT_PROVED}
    expect(proved == said, f"{what}: the list does not say what the log says")
    return leaf


def check_report(bundle: Bundle, begins: int) -> tuple[int, list[str], Json]:
    """Check a bundle that begins with a number; return how many entries, which show only their month, and the last leaf."""
    shown, evidence = bundle.shown, bundle.evidence
    rows, beside = part(shown, "accesses", list, "bundle"), part(evidence, "entries", list, "bundle")
    expect(rows, "bundle: no entries")
    ids = [one.get("entry_id") for one in rows]
    expect(ids == [one.get("entry_id") for one in beside], "bundle: list and evidence name different entries")
    expect(all(isinstance(one, str) and ENTRY_ID.fullmatch(one) for one in ids), "bundle: what stands for an entry's id is none")
    expect(len(set(ids)) == len(ids), "bundle: an entry stands twice")
    chain_key, tag = (un_b64u(part(evidence, name, str, "bundle"), name) for name in ("chain_key", "previous"))
    first, hidden, last = part(evidence, "first", int, "bundle"), list[str](), None
    expect(first == begins, f"bundle: it begins with number {first}: {first - 1} accesses before it are not shown")
    expect(len(tag) == (0 if first == 1 else 16), "bundle: no right beginning")
    for number, (row, one) in enumerate(zip(rows, beside, strict=True), first):
        message = lp(row["entry_id"].encode()) + number.to_bytes(8, "big") + lp(tag)
        tag = hmac.new(chain_key, message, hashlib.sha256).digest()[:16]
        last = check_entry(row, one, tag, bundle)
        hidden += [row["entry_id"]] if last is None else []
    left = [name for name in bundle.files if name.startswith("accesses/proofs/")]
    expect(not left, "bundle: a proof of an entry that is not listed")
    if last is None or (last["operation"], last["outcome"]) != ("show_accesses", "done"):
        raise Wrong("bundle: it does not end with the entry of this report")
    details = members(beside[-1].get("details", "{}").encode(), "bundle")  # opened above: its commitment holds
    expect(details.get("form") == "bundle", "bundle: it does not end with the entry of a report, but of a page")
    expect(last["id"] == evidence.get("report") == shown.get("report"), "bundle: it ends with the entry of another report")
    return len(rows), hidden, last


def check_signed(bundle: Bundle, key: Key) -> None:
    """Go on only if the company signed this list and its evidence, as they are."""
    expect("accesses/signed" in bundle.files, "bundle: accesses/signed is missing")
    body, signatures = signed_by(bundle.files["accesses/signed"].decode(), key)
    for signature in signatures:
        verify(key[2], signature, body.encode(), "signed list")
    names = ("accesses", "evidence")
    said = {name: hashlib.sha256(bundle.files[f"accesses/{name}.json"]).hexdigest() for name in names}
    said |= {"subject_id": bundle.subject_id, "report": bundle.shown["report"]}
    signed = members(body.encode(), "signed list")
    expect(signed == {"v": 1, "document": "accesses", **said}, "signed list: it is of another list")


# --- commands --------------------------------------------------------------------------------------------------------------


def proof(given: argparse.Namespace) -> str:
    """One entry is in the log."""
    octets = given.leaf.read_bytes().removesuffix(b"\n")
    if not octets.startswith(b"{"):
        octets = unhex(octets.decode(), "leaf")
    leaf_of(octets, "leaf")
    position, (name, size, _) = included(leaf_hash(octets), text_of(given.proof), given.key, "proof")
    return f"the entry is at position {position} of {name}, which had {size} entries."


def consistency(given: argparse.Namespace) -> str:
    """A newer checkpoint continues an older one: nothing was changed or taken out in between."""
    name, old, older = checkpoint_of(text_of(given.old), given.key)
    _, size, newer = checkpoint_of(text_of(given.new), given.key)
    expect(old <= size, "consistency: the newer log is shorter than the older")
    path = hashes_of(text_of(given.proof).splitlines(), "consistency")
    expect(both_roots(old, size, path, older) == (older, newer), "consistency: the newer log does not continue the older")
    return f"the first {old} entries of {name} are unchanged in its {size} entries."


def log(given: argparse.Namespace) -> str:
    """A whole log: its root, computed anew from every line, is the one that was signed."""
    name, size, root = checkpoint_of(text_of(given.checkpoint), given.key)
    growing, unread = Growing(), 0
    with given.leaves.open(encoding="ascii", newline="\n") as lines:
        for number, line in enumerate(lines, 1):
            what, text = f"line {number}", line.removesuffix("\n")
            if text[:2] in ("h:", "t:"):
                node = unhex(text[2:], what)
                expect(len(node) == 32, f"{what}: not a hash")
                growing.add(node, 8 if text[0] == "t" else 0)
                unread += 256 if text[0] == "t" else 1
            else:
                octets = unhex(text, what)
                leaf_of(octets, what)
                growing.add(leaf_hash(octets))
    expect(growing.size, "log: empty, which proves nothing")
    expect(growing.size >= size, f"log: {growing.size} entries, shorter than the checkpoint's {size}")
    expect(growing.size == size, f"log: {growing.size} entries, and nobody signed what follows the checkpoint's {size}")
    expect(growing.root() == root, "log: an entry was changed, moved, taken out or put in: the root is another")
    pruned = f" {unread} of them are here as hashes only." if unread else ""
    return f"{name} has {size} entries, and each is as it was signed.{pruned}"


def report(given: argparse.Namespace) -> str:
    """A customer's report: complete, true to the log, and ending with the entry of the report itself."""
    first = number_of(given.first, "--first")
    bundle = Bundle(files_of(given.bundle), given.key)
    count, hidden, last = check_report(bundle, first)
    eras = part({"eras_before": 0, **bundle.shown}, "eras_before", int, "bundle")
    at = datetime.fromtimestamp(last["at"] // 1000, UTC).isoformat()
    lines = [f"{count} accesses, numbers {first} to {first + count - 1}: none is missing."]
    lines += months(hidden, count) if hidden else ["Each is in the log as listed."]
    lines += [f"It lists everything up to {at}, when it was asked for."]
    lines += [f"The {first - 1} accesses before number {first} are not shown, as you allowed for."] if first > 1 else []
    lines += [f"Entries of {eras} earlier eras are not in this report: ask for them."] if eras else []
    if given.document_key is not None:
        check_signed(bundle, given.document_key)
        lines += [f"{given.document_key[0]} signed the list as it is: it answers for what is its word."]
    return "\n".join([*lines, "The names of operators and of systems are the vault's word: the proof of those is not for you."])


def months(hidden: list[str], count: int) -> list[str]:
    """Return what does and does not hold where entries show only their month."""
    return [
        f"{len(hidden)} of them show only their month, for the sake of other people. That they are there is proved;",
        "what the list says of them, month, operation and all, is the vault's word:",
        *(f"  {entry_id}" for entry_id in hidden),
        f"Each of the other {count - len(hidden)} is in the log as listed.",
    ]


def witness(given: argparse.Namespace) -> str:
    """A witness signed that they saw this checkpoint of the log, and when."""
    note = text_of(given.checkpoint)
    name, size, _ = checkpoint_of(note, given.key)
    body, lines = signed_by(note, given.witness)
    for octets in lines:
        expect(len(octets) == 72, "witness: not a cosignature")
        at = int.from_bytes(octets[:8], "big")
        verify(given.witness[2], octets[8:], f"cosignature/v1\ntime {at}\n{body}".encode(), "witness")
    seen = datetime.fromtimestamp(at, UTC).isoformat() if at < 1 << 37 else "an impossible time"
    return f"{given.witness[0]} saw {name} with {size} entries at {seen}."


def text_of(place: Path) -> str:
    """Return a file's text as it is: no line ending is made to fit."""
    return place.read_bytes().decode()


def unhex(text: str, what: str) -> bytes:
    """Return the bytes of lower-case hex."""
    try:
        octets = bytes.fromhex(text)
    except ValueError:
        raise Wrong(f"{what}: not hex") from None
    expect(octets.hex() == text, f"{what}: not hex in lower case")
    return octets


ARGUMENTS = {
    proof: {"leaf": "file of the leaf: JSON, or hex", "proof": "its .tlog-proof"},
    consistency: {"old": "the older checkpoint", "new": "the newer one", "proof": "one hash in base64 a line"},
    log: {"leaves": "one leaf in hex a line; h: and a hash, t: and the hash of 256", "checkpoint": "the signed note"},
    report: {"bundle": "the ZIP, or the folder it was unpacked to"},
    witness: {"checkpoint": "the cosigned note"},
}


def parser() -> argparse.ArgumentParser:
    """Return what is understood on the command line."""
    made = argparse.ArgumentParser(description="Check a Riserbo log, proof or report without the vault.")
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command, arguments in ARGUMENTS.items():
        sub = commands.add_parser(command.__name__, help=command.__doc__, description=command.__doc__)
        sub.set_defaults(run=command)
        for name, meaning in arguments.items():
            sub.add_argument(name, type=Path, help=meaning)
        sub.add_argument(
            "--key",
            required=True,
            help="the log's verifier key, NAME and PUBLIC KEY, or a file with either, from somebody you trust",
        )
        if command is report:
            sub.add_argument("--first", default="1", help="the number it may begin with, where older details are kept no longer")
            sub.add_argument("--document-key", help="the key of the company's documents, given likewise")
        if command is witness:
            sub.add_argument("--witness", required=True, help="the witness's verifier key, or a file with it")
    return made


def key_given(text: str, kind: int) -> Key:
    """Return a key given as it is, or as a file: a verifier key, or name and public key as `/.well-known/riserbo` has them."""
    as_is = (" " in text.strip() or text.count("+") >= 2) and not Path(text).exists()
    said = (text if as_is else text_of(Path(text))).strip()
    name, blank, encoded = said.partition(" ")
    if not blank:
        return key_of(said, kind)
    public = unbase64(encoded, "key")
    expect(name and len(public) == 32, "key: not a name and a key")
    return name, hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()[:4], public


def plain(text: str) -> str:
    """Return a text whose every character is seen as it is: what is checked must not write on its reader's screen by itself."""
    return "".join(one if " " <= one <= "~" else ascii(one)[1:-1] for one in text)


def main(arguments: list[str] | None = None) -> int:
    """Run a command; return the exit status."""
    given = parser().parse_args(arguments)
    try:
        given.key = key_given(given.key, 1)
        if given.run is witness:
            given.witness = key_given(given.witness, 4)
        if given.run is report and given.document_key is not None:
            given.document_key = key_given(given.document_key, 1)
        said = given.run(given)
    except (OSError, zipfile.BadZipFile, zlib.error, RuntimeError) as error:
        sys.stderr.write(f"CANNOT READ: {plain(str(error))}\n")
        return 2
    except Wrong as wrong:
        sys.stdout.write(f"NOT VERIFIED: {plain(str(wrong))}\n")
        return 1
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
        sys.stdout.write("NOT VERIFIED: something is not of the form it must have\n")
        return 1
    sys.stdout.write("\n".join(plain(line) for line in f"VERIFIED: {said}".split("\n")) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
