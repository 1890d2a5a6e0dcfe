from hypothesis import given
from hypothesis import strategies as st

from vault.keys.tokens import token_id, token_text

SECRET = bytes(range(32))
_cases = st.tuples(st.text(max_size=6), st.text(max_size=6), st.text(max_size=6), st.integers(0, 2**32 - 1))


@given(one=_cases, other=_cases)
def test_one_token_for_one_subject_field_recipient_and_serial(one: tuple[str, str, str, int], other: tuple[str, str, str, int]):
    assert (token_text(SECRET, *one) == token_text(SECRET, *other)) == (one == other)


@given(case=_cases)
def test_a_token_shows_nothing_and_depends_on_the_secret(case: tuple[str, str, str, int]):
    text = token_text(SECRET, *case)
    assert text.startswith("tok_")
    assert len(text) == 30
    assert text != token_text(bytes(32), *case)
    assert token_id(SECRET, text) != token_id(bytes(32), text)
