"""The few ways bytes are joined: lengths first, integers big-endian, ids in base32."""

import base64
import hmac

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from hypothesis import given
from hypothesis import strategies as st

from vault.octets import b64u, b64u_decode, base32_id, expand, lp, lp8, mac, u16, u32, u64


@given(st.binary(max_size=40))
def test_ids_are_base32_in_lower_case_without_padding(octets: bytes) -> None:
    assert base32_id(octets) == base64.b32encode(octets).rstrip(b"=").decode().lower()


@given(st.lists(st.binary(max_size=5), max_size=4), st.lists(st.binary(max_size=5), max_size=4))
def test_two_lists_of_parts_never_join_to_the_same_bytes(one: list[bytes], other: list[bytes]) -> None:
    assert (b"".join(map(lp, one)) == b"".join(map(lp, other))) is (one == other)
    assert (b"".join(map(lp8, one)) == b"".join(map(lp8, other))) is (one == other)


def test_text_enters_as_utf_8_and_lengths_are_bounded() -> None:
    assert lp("è") == b"\x00\x02\xc3\xa8"
    assert lp8("è") == b"\x02\xc3\xa8"
    with pytest.raises(ValueError, match="too long"):
        lp(b"x" * 65_536)
    with pytest.raises(ValueError, match="too long"):
        lp8(b"x" * 256)


def test_integers_are_big_endian() -> None:
    assert u16(1) + u32(2) + u64(3) == bytes.fromhex("0001000000020000000000000003")


@given(st.binary(max_size=40))
def test_base64url_is_canonical(octets: bytes) -> None:
    assert b64u_decode(b64u(octets)) == octets


@pytest.mark.parametrize("text", ["=", "A", "AB==", "AB", "A B", "é", "A+", "A/"])
def test_what_is_not_canonical_base64url_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="base64url"):
        b64u_decode(text)


def test_expand_is_hkdf_expand_of_rfc_5869() -> None:
    prk = bytes.fromhex("077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5")  # appendix A.1
    okm = "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    assert expand(prk, bytes.fromhex("f0f1f2f3f4f5f6f7f8f9")).hex() == okm[:64]


@given(st.binary(max_size=64), st.binary(max_size=5000))
def test_mac_is_hmac_of_rfc_2104(key: bytes, message: bytes) -> None:
    assert mac(key, message) == hmac.digest(key, message, "sha256")


@given(st.binary(max_size=64), st.binary(max_size=200))
def test_expand_is_what_a_kept_library_derives(key: bytes, info: bytes) -> None:
    assert expand(key, info) == HKDFExpand(algorithm=SHA256(), length=32, info=info).derive(key)


def test_mac_refuses_a_key_that_hmac_would_hash_first() -> None:
    with pytest.raises(ValueError, match="key too long"):
        mac(b"k" * 65, b"")
