from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.errors import KeysUnavailable, Unreadable
from vault.keys.keyring import Blob, context_bytes, decode_blob, encode_blob, root_name, use_of


@given(provider=st.text(max_size=20), key=st.text(max_size=20), octets=st.binary(max_size=50))
def test_a_blob_comes_apart_as_it_was_put_together(provider: str, key: str, octets: bytes):
    blob = Blob(provider, key, octets)
    assert decode_blob(encode_blob(blob)) == blob


@given(octets=st.binary(max_size=60))
def test_other_bytes_are_no_blob(octets: bytes):
    for made_up in (octets, b"\x01" + octets):
        with suppress(Unreadable):
            assert encode_blob(decode_blob(made_up)) == made_up


@pytest.mark.parametrize(
    "octets", [b"", b"\x02\0\0\0\0", b"\x01", b"\x01\0", b"\x01\0\1", b"\x01\0\1\xff\0\0", b"\x01\0\0\0\5abcd"]
)
def test_a_blob_of_another_form_is_unreadable(octets: bytes):
    with pytest.raises(Unreadable):
        decode_blob(octets)


@pytest.mark.parametrize(
    ("name", "use"),
    [
        (root_name(7), "wrap"),
        ("custody/1", "wrap"),
        ("index/2", "mac"),
        ("ledger/1", "mac"),
        ("audit-mac/1", "mac"),
        ("audit-sign/1", "sign"),
        ("audit-receipt/1", "sign"),
        ("document-sign/1", "sign"),
    ],
)
def test_a_key_name_says_what_the_key_is_for(name: str, use: str):
    assert use_of(name) == use


@pytest.mark.parametrize(
    "name", ["", "root", "root/", "root/-1", "root/01", "root/1/2", "roots/1", "root/1\n", "root/x", "../root/1"]
)
def test_other_names_are_refused(name: str):
    with pytest.raises(KeysUnavailable):
        use_of(name)


def test_a_context_is_canonical_json():
    assert context_bytes({"use": "controller-key", "epoch": "7"}) == b'{"epoch":"7","use":"controller-key"}'
