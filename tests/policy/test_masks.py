from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from vault.policy.masks import HIDDEN, MASKS, show

POLICIES = Path(__file__).parents[2] / "policies"
NAMES = yaml.safe_load((POLICIES / "masks.yaml").read_text(encoding="utf-8"))["masks"]
FIELDS = yaml.safe_load((POLICIES / "catalogue.yaml").read_text(encoding="utf-8"))["fields"]

ADDRESS = {"street": "Via Roma, 1", "postal_code": "20121", "city": "Milano", "province": "MI", "country": "IT"}
CARD = {"reference": "pm_1Nq", "bin": "411111", "last4": "1111", "expires": "2029-12"}
FILE = {"name": "referto.pdf", "media_type": "application/pdf", "bytes": 48_213, "received_on": "2026-02-01"}
FACTS = {"media_type": "application/pdf", "bytes_band": "10–100 kB", "received_on": "2026-02-01"}


def euro(amount: str) -> dict[str, Any]:
    return {"amount": amount, "currency": "EUR"}


@pytest.mark.parametrize(
    ("mask", "value", "shown"),
    [
        ("initial", "Giulia", "G•••"),
        ("initial", "Maria Grazia", "M•••"),
        ("email_domain", "mario.rossi@example.it", "m•••@example.it"),
        ("email_tld", "mario.rossi@example.it", "•••@•••.it"),
        ("phone_last3", "+393331234567", "+39 ••• 567"),
        ("phone_country", "+393331234567", "+39 •••"),
        ("birth_year", "1980-02-29", "1980"),
        ("birth_decade", "1980-02-29", "1980–1989"),
        ("address_city", ADDRESS, {"street": None, "postal_code": None, "city": "Milano", "province": "MI", "country": "IT"}),
        ("address_country", ADDRESS, {"street": None, "postal_code": None, "city": None, "province": None, "country": "IT"}),
        ("cf_last2", "RSSMRA80A01H501U", "•••1U"),
        ("cf_last2", "RSSMRA80A01H50MM", "•••MM"),
        ("last2", "CA12345AA", "•••AA"),
        ("last4", "C0000001", "•••• 0001"),
        ("last4", "00743110157", "•••• 0157"),
        ("iban_last4", "IT60X0542811101000000123456", "IT•• •••• 3456"),
        ("card_bin_last4", CARD, "411111••••••1111"),
        ("card_last4", CARD, "•••• 1111"),
        ("money_band", euro("42000.00"), "25 000–50 000 EUR"),
        ("money_band", euro("-0.01"), "< 0 EUR"),
        ("money_band", euro("250000.00"), "≥ 250 000 EUR"),
        ("text_redacted", "Reclamo: IBAN IT60X0542811101000000123456", "•••"),
        ("file_facts", FILE, FACTS),
    ],
)
def test_the_published_examples_hold(mask, value, shown):
    assert show(mask, value) == shown


@pytest.mark.parametrize(
    ("mask", "value", "shown"),
    [
        ("phone_last3", "+12025550123", "+1 ••• 123"),
        ("phone_last3", "+3771234567", "+377 ••• 567"),
        ("cf_last2", "00743110157", "•••57"),
        ("last4", "POL-189117", "•••• 9117"),
        ("last2", "CA 123.45-A", "•••5A"),
        ("card_bin_last4", {**CARD, "bin": "41111111"}, "41111111••••1111"),
        ("money_band", euro("0.00"), "0–1 000 EUR"),
        ("money_band", euro("999.99"), "0–1 000 EUR"),
        ("money_band", euro("1000.00"), "1 000–5 000 EUR"),
        ("money_band", euro("249999.9999"), "100 000–250 000 EUR"),
        ("address_city", {**ADDRESS, "province": None}, {**dict.fromkeys(ADDRESS), "city": "Milano", "country": "IT"}),
        ("file_facts", {**FILE, "bytes": 9_999}, {**FACTS, "bytes_band": "< 10 kB"}),
        ("file_facts", {**FILE, "bytes": 10_000_000}, {**FACTS, "bytes_band": "≥ 10 MB"}),
    ],
)
def test_other_shapes_of_a_type_follow_the_same_rule(mask, value, shown):
    assert show(mask, value) == shown


@pytest.mark.parametrize(
    ("mask", "value", "shown"),
    [
        ("initial", "X", HIDDEN),
        ("initial", "3 A", HIDDEN),
        ("email_domain", "m@example.it", "•••@•••.it"),
        ("email_domain", "_m@example.it", "•••@•••.it"),
        ("email_domain", "mario", HIDDEN),
        ("email_tld", "mario@localhost", HIDDEN),
        ("phone_last3", "+2904123", "+290 •••"),
        ("phone_last3", "3331234567", HIDDEN),
        ("phone_country", "+9991234567", HIDDEN),
        ("birth_year", "1980-02-30", HIDDEN),
        ("birth_decade", "29/02/1980", HIDDEN),
        ("address_city", {**ADDRESS, "city": None}, {**dict.fromkeys(ADDRESS), "country": "IT"}),
        ("address_city", {**ADDRESS, "country": None}, HIDDEN),
        ("address_country", "Milano", HIDDEN),
        ("cf_last2", "RSSMRA80", HIDDEN),
        ("last2", "A-AA", HIDDEN),
        ("last4", "C000001", HIDDEN),
        ("iban_last4", "IT60", HIDDEN),
        ("card_bin_last4", {**CARD, "bin": None}, "•••• 1111"),
        ("card_bin_last4", {**CARD, "bin": "4111111"}, "•••• 1111"),
        ("card_bin_last4", {**CARD, "last4": "11111"}, HIDDEN),
        ("card_last4", "4111111111111111", HIDDEN),
        ("money_band", "42000.00", HIDDEN),
        ("money_band", {"amount": "42000", "currency": "EUR"}, HIDDEN),
        ("money_band", {"amount": "42000.00", "currency": "<b>"}, HIDDEN),
        ("file_facts", {**FILE, "media_type": "referto.pdf"}, HIDDEN),
        ("file_facts", {**FILE, "bytes": "48213"}, HIDDEN),
        ("file_facts", {**FILE, "received_on": "ieri"}, HIDDEN),
        ("file_facts", None, HIDDEN),
    ],
)
def test_a_value_too_short_or_of_unforeseen_shape_gets_the_next_stronger_mask(mask, value, shown):
    assert show(mask, value) == shown


@pytest.mark.parametrize("mask", sorted(MASKS))
@pytest.mark.parametrize("value", [None, 7, True, "", " ", [], {}, b"x", {"bin": 1, "last4": 2}, {"city": 1, "country": 2}])
def test_what_no_mask_foresaw_is_bullets(mask, value):
    assert show(mask, value) == HIDDEN


def test_a_mask_that_is_not_there_shows_nothing():
    with pytest.raises(KeyError):
        show("clear", "Giulia")


# --- masks.yaml and the functions say the same ------------------------------------------------------------------------------


def test_names_of_the_file_are_the_names_of_the_functions():
    assert set(NAMES) == set(MASKS)


def test_each_next_mask_is_stronger_and_for_the_same_types():
    for entry in NAMES.values():
        if entry["then"] is not None:
            assert NAMES[entry["then"]]["strength"] > entry["strength"]
            assert NAMES[entry["then"]]["types"] == entry["types"]


def ladder(mask: str) -> list[str]:
    following = NAMES[mask]["then"]
    return [mask, *(ladder(following) if following else [])]


def test_the_masks_of_a_field_are_a_ladder_whole_and_in_order():
    for entry in FIELDS.values():
        if entry["masks"]:
            assert entry["masks"] == ladder(entry["masks"][0])


# --- properties -------------------------------------------------------------------------------------------------------------

_DIGITS = st.text("0123456789", max_size=16)
_TEXTS = st.one_of(
    st.text(max_size=24),
    st.text("•@. +abAB019", max_size=12),
    st.emails(),
    st.builds("{}@{}".format, st.sampled_from(["a", "ab", "ac", "bc", "_x", "•••"]), st.sampled_from(["x.it", "y.it", "x.com"])),
    st.builds("+{}{}".format, st.sampled_from(["39", "1", "377", "290", "999"]), st.text("0123456789", min_size=4, max_size=10)),
    st.dates().map(lambda day: day.isoformat()),
)
_OBJECTS = st.one_of(
    st.fixed_dictionaries(
        {
            name: st.none() | st.sampled_from(["", "Milano", "Roma", "MI", "IT", "DE"])
            for name in ("street", "city", "province", "country")
        }
    ),
    st.fixed_dictionaries({"bin": st.none() | _DIGITS | st.sampled_from(["411111", "555555"]), "last4": _DIGITS | st.just("1111")}),
    st.fixed_dictionaries({"amount": st.decimals(-(10**6), 10**6, places=2).map(str), "currency": st.sampled_from(["EUR", "USD"])}),
)
_LADDERS = [pair for mask in sorted(NAMES) for pair in pairwise(ladder(mask))]


@settings(max_examples=500, deadline=None)
@given(pair=st.sampled_from(_LADDERS), one=_TEXTS | _OBJECTS, other=_TEXTS | _OBJECTS)
def test_what_looks_equal_through_the_weaker_looks_equal_through_the_stronger(pair, one, other):
    weaker, stronger = pair
    if show(weaker, one) == show(weaker, other):
        assert show(stronger, one) == show(stronger, other)


_VALID = {
    "email_domain": st.builds("{}@{}.it".format, st.text("abc", min_size=1, max_size=3), st.sampled_from(["x", "y"])),
    "phone_last3": st.builds("+39{}{}".format, st.text("03", min_size=2, max_size=4), st.text("01", min_size=3, max_size=3)),
    "birth_year": st.dates().map(lambda day: day.isoformat()),
    "address_city": st.fixed_dictionaries({"city": st.sampled_from(["", "A", "B"]), "country": st.sampled_from(["IT", "DE"])}),
    "card_bin_last4": st.fixed_dictionaries(
        {"bin": st.sampled_from([None, "411111", "55555555"]), "last4": st.sampled_from(["1", "1111"])}
    ),
}


@settings(max_examples=300, deadline=None)
@given(data=st.data(), weaker=st.sampled_from(sorted(_VALID)))
def test_the_ladder_holds_among_well_formed_values(data, weaker):
    one, other = data.draw(_VALID[weaker]), data.draw(_VALID[weaker])
    if show(weaker, one) == show(weaker, other):
        assert show(NAMES[weaker]["then"], one) == show(NAMES[weaker]["then"], other)


def test_every_ladder_is_tried_with_well_formed_values():
    assert {weaker for weaker, _ in _LADDERS} == set(_VALID)


@settings(max_examples=300, deadline=None)
@given(
    mask=st.sampled_from(["card_bin_last4", "card_last4"]),
    number=st.text("0123456789", min_size=13, max_size=19),
    eight=st.booleans(),
)
def test_of_a_card_at_most_bin_and_last_four_are_shown(mask, number, eight):
    first = number[: 8 if eight else 6]
    shown = str(show(mask, {"reference": number, "bin": first, "last4": number[-4:], "expires": "2029-12", "number": number}))
    digits = "".join(letter for letter in shown if letter.isdigit())
    assert digits in (first + number[-4:], number[-4:])


@settings(max_examples=200, deadline=None)
@given(value=st.text(max_size=64))
def test_last_four_and_last_two_show_no_more(value):
    assert len(str(MASKS["last4"](value)).removeprefix("•••• ")) <= 4
    assert len(str(MASKS["last2"](value)).removeprefix("•••")) <= 2


@settings(max_examples=300, deadline=None)
@given(
    mask=st.sampled_from(["initial", "last2", "last4", "cf_last2", "iban_last4"]), value=st.text("ABI019", min_size=1, max_size=34)
)
def test_length_is_not_shown_and_at_most_half_of_a_value_is(mask, value):
    shown = str(show(mask, value))
    kept = shown.replace("•", "").replace(" ", "")
    assert 2 * len(kept) <= len(value)
    assert shown == HIDDEN or len(shown) == {"initial": 4, "last2": 5, "last4": 9, "cf_last2": 5, "iban_last4": 14}[mask]
