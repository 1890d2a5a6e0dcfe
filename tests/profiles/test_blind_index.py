import pytest

from vault.profiles.blind_index import bidx
from vault.profiles.normalise import index_text, normalise

SECRET = bytes(range(0x40, 0x60))


def test_the_published_vector_holds():
    text = index_text("email", normalise("email", " Ada@EXAMPLE.org "))
    assert bidx(SECRET, "email", 1, text).hex() == "accfd7159c3bfd0aa8f1bd8e37dab7ed"


@pytest.mark.parametrize(
    "other",
    [
        bidx(bytes(32), "email", 1, "ada@example.org"),
        bidx(SECRET, "phone", 1, "ada@example.org"),
        bidx(SECRET, "email", 2, "ada@example.org"),
        bidx(SECRET, "email", 1, "ada@example.net"),
    ],
    ids=["secret", "index", "version", "value"],
)
def test_another_secret_index_version_or_value_looks_like_nothing_else(other):
    assert other != bidx(SECRET, "email", 1, "ada@example.org")
    assert len(other) == 16
