"""The lines of the erasure ledger: one way to write each, one order, and what a chain of them says of a database."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import orjson
import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from vault.erasure.ledger import (
    ACTS,
    CLOSING,
    EMPTY,
    LINE_MAX_BYTES,
    Chain,
    Op,
    Said,
    Tail,
    encode,
    message,
    named,
    parse,
    to_replay,
)

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw()
SUBJECT, AGREEMENT = "ab" * 32, "cd" * 32
INTENT = Said(
    "intent", "ctl-1", 1_792_490_400_123, SUBJECT, keys=("dk_a",), classes=("contact",), fields=("iban",), request="req_1"
)


def written(said: Said, after: Tail = EMPTY) -> bytes:
    return encode(said, after, KEY.sign(message(said, after)))


def chained(*said: Said) -> tuple[Chain, list[bytes]]:
    chain, lines = Chain(), []
    for one in said:
        lines.append(written(one, chain.tail))
        chain.add(lines[-1])
    return chain, lines


hashes = st.binary(min_size=32, max_size=32).map(bytes.hex)
ids = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,20}", fullmatch=True)
names = st.from_regex(r"[a-z][a-z0-9_-]{0,20}|\*", fullmatch=True)
few = partial(st.lists, max_size=3)
lines_said = st.builds(
    Said, st.sampled_from(sorted(ACTS | CLOSING | {"final"})), ids,
    st.integers(1, 2**53 - 1), hashes, few(hashes).map(tuple), few(ids).map(tuple), few(names).map(tuple), few(names).map(tuple),
    ids | st.just(""), st.integers(1, 9),
)  # fmt: skip


def test_a_line_is_what_the_design_shows() -> None:
    line = orjson.loads(written(INTENT, Tail(40, bytes(32))))
    assert {name: line[name] for name in line if name != "sig"} == {
        "agr": [], "ctl": "ctl-1", "keys": ["dk_a"], "kv": 1, "n": 41, "op": "intent", "prev": "00" * 32, "req": "req_1",
        "rm": {"classes": ["contact"], "fields": ["iban"]}, "sub": SUBJECT, "t": 1_792_490_400_123, "v": 1,
    }  # fmt: skip
    assert (
        named("ctl-1", "sub-1").hex()
        == "0011" + b"riserbo.ledger.v1".hex() + "00056374 6c2d31".replace(" ", "") + "0005" + b"sub-1".hex()
    )


@given(lines_said, st.integers(0, 2**53 - 2), st.binary(min_size=32, max_size=32))
def test_what_is_written_is_read_back_and_is_signed(said: Said, number: int, digest: bytes) -> None:
    line = parse(written(said, Tail(number, digest)))
    assert (line.said, line.number, line.previous) == (said, number + 1, digest)
    assert line.signed_by(PUBLIC)
    assert not replace(line, said=replace(said, at_ms=said.at_ms % 1000 + 1 + (said.at_ms < 1001) * 2000)).signed_by(PUBLIC)
    assert not replace(line, previous=bytes(31) + bytes([digest[31] ^ 1])).signed_by(PUBLIC)


@settings(max_examples=300)
@given(st.data())
def test_no_changed_byte_gives_a_line_that_holds(data: st.DataObject) -> None:
    line = bytearray(written(INTENT))
    at = data.draw(st.integers(0, len(line) - 1))
    line[at] ^= data.draw(st.integers(1, 255))
    try:
        changed = parse(bytes(line))
    except ValueError:
        return
    assert not changed.signed_by(PUBLIC)


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode) | st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["agr", "rm", "v", "n", "op"]), inner, max_size=4),
).map(orjson.dumps))  # fmt: skip
def test_anything_else_is_no_line(octets: bytes) -> None:
    with pytest.raises(ValueError):
        parse(octets)


@pytest.mark.parametrize(
    ("member", "value"),
    [("v", 2), ("v", True), ("v", 1.0), ("n", 0), ("n", 2**53), ("n", "1"), ("t", -1), ("kv", 0), ("op", "erase"), ("op", ["live"]),
     ("ctl", ""), ("ctl", "Ctl"), ("sub", ""), ("sub", "AB" * 32), ("sub", None), ("prev", "00"), ("req", None), ("req", "r q"),
     ("agr", "cd"), ("agr", ["cd"]), ("agr", [1]), ("keys", [""]), ("keys", None), ("rm", []), ("rm", {"classes": []}),
     ("rm", {"classes": ["Contact"], "fields": []}), ("rm", {"classes": [], "fields": [1]}), ("sig", None), ("sig", "x"),
     ("sig", "AA=="), ("sig", "é"), ("more", 1)],
)  # fmt: skip
def test_a_member_out_of_place_is_no_line(member: str, value: Any) -> None:
    found = {**orjson.loads(written(INTENT)), member: value}
    with pytest.raises(ValueError):
        parse(orjson.dumps(found, option=orjson.OPT_SORT_KEYS))


def test_one_way_to_write_it() -> None:
    line = written(INTENT)
    loose = orjson.dumps(orjson.loads(line), option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)
    for other in (loose, line + b" ", line + b"\n", line.replace(b'"v":1}', b'"v":1,"v":1}'), b" " * LINE_MAX_BYTES + line):
        with pytest.raises(ValueError):
            parse(other)
    spare = orjson.loads(line)
    spare["sig"] = spare["sig"][:-3] + chr(ord(spare["sig"][-3]) + 1) + "=="  # the same 64 bytes, other stray bits
    with pytest.raises(ValueError, match="signature"):
        parse(rfc8785.dumps(spare))
    with pytest.raises(ValueError, match="not a line"):
        encode(replace(INTENT, controller_id="Nobody"), EMPTY, bytes(64))


def test_lines_follow_each_other_or_are_not_taken() -> None:
    chain, lines = chained(Said("found", "ctl-1", 1), INTENT, INTENT.closed("live", 5))
    assert chain.tail.number == 3
    for wrong in (lines[2], lines[0], written(INTENT, Tail(3, bytes(32))), written(INTENT, Tail(4, chain.tail.digest)), b"{}"):
        with pytest.raises(ValueError):
            chain.add(wrong)
    assert (chain.tail.number, chain.add(written(INTENT, chain.tail)).number) == (3, 4)


def test_how_a_database_stands_to_the_ledger() -> None:
    found = Said("found", "ctl-1", 1)
    chain, lines = chained(found)
    assert chain.standing("ctl-1", None) == "ahead"  # the ledger knows it, it does not know the ledger
    assert chain.standing("ctl-2", None) == "unfounded"
    mark = chain.tail
    assert chain.standing("ctl-1", mark) == "level"
    chain, lines = chained(found, INTENT)
    assert chain.standing("ctl-1", mark) == "level"  # nothing says that it was done
    assert [one.number for one in chain.unfinished("ctl-1")] == [2]
    assert chain.unfinished("ctl-2") == []
    chain, lines = chained(found, INTENT, INTENT.closed("live", 5))
    assert chain.standing("ctl-1", mark) == "ahead"
    assert chain.standing("ctl-1", parse(lines[1]).tail) == "level"
    assert chain.standing("ctl-1", Tail(2, bytes(32))) == "different"
    assert chain.standing("ctl-1", Tail(0, bytes(32))) == "different"
    assert chain.standing("ctl-1", Tail(9, bytes(32))) == "behind"
    assert chain.unfinished("ctl-1") == []
    chain, _ = chained(found, INTENT, INTENT.closed("void", 5), INTENT.closed("live", 6))
    assert chain.standing("ctl-1", mark) == "level"  # it came to nothing


@pytest.mark.parametrize(
    ("ops", "mark", "left"),
    [(["intent", "live"], 0, [1]), (["intent", "live"], 1, []), (["intent"], 0, [1]), (["intent", "void"], 0, []),
     (["intent", "void", "intent"], 0, [3]), (["withdraw", "live", "suppress"], 0, [1, 3]), (["found"], 0, []), (["void"], 0, [])],
)  # fmt: skip
def test_what_is_to_be_replayed(ops: Sequence[Op], mark: int, left: list[int]) -> None:
    said = [Said(op, "ctl-1", 1, "" if op == "found" else SUBJECT) for op in ops]
    _, lines = chained(*said, Said("intent", "ctl-2", 1, SUBJECT))
    assert [one.number for one in to_replay(map(parse, lines), "ctl-1", mark)] == left
