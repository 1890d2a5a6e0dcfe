"""Masks: named functions from a normalised value to what may be shown of it. Pure.

Rules (`policies/masks.yaml`; PCI DSS 4.0.1, 3.4.1):

1. The number of bullets (U+2022) is fixed, so a value's length is not shown; a card's alone follows from its BIN.
2. A value shorter than twice what a mask shows, or of unforeseen shape, gets the next stronger mask, in the end `•••`.
3. Along a ladder each mask is a function of the weaker one: what looks equal through the weaker looks equal through the stronger.
4. Of a card, never more than BIN and last four (PCI DSS 4.0.1, 3.4.1).

Names, strengths and ladders are data: `policies/masks.yaml`, which a test holds equal to this file.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, Final

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE

Shown = str | dict[str, Any]

HIDDEN: Final = "•••"

_THOUSANDS: Final = (0, 1, 5, 10, 25, 50, 100, 250)
_FILE_BANDS: Final = ((10_000, "< 10 kB"), (100_000, "10–100 kB"), (1_000_000, "100 kB–1 MB"), (10_000_000, "1–10 MB"))
_LARGEST_FILES: Final = "≥ 10 MB"
_SEPARATORS = re.compile(r"[ ./-]+")
_EMAIL = re.compile(r"([^@\s]+)@((?:[a-z0-9-]+\.)+([a-z0-9-]+))")
_PHONE = re.compile(r"\+([0-9]{7,15})")
_DATE = re.compile("([0-9]{4})-([0-9]{2})-([0-9]{2})")
_TAX_CODE = re.compile("[A-Z0-9]{16}|[0-9]{11}")
_IBAN = re.compile("[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}")
_BIN = re.compile("[0-9]{6}(?:[0-9]{2})?")
_LAST_FOUR = re.compile("[0-9]{4}")
_CURRENCY = re.compile("[A-Z]{3}")
_AMOUNT = re.compile(r"-?[0-9]+\.[0-9]{2,4}")
_MEDIA_TYPE = re.compile(r"[a-z]+/[a-z0-9.+-]{1,80}")


def show(mask: str, value: object) -> Shown:
    """Return what `mask` shows of `value`: a text, or for addresses and files an object. Raises KeyError for an unknown mask."""
    return MASKS[mask](value)


def _initial(value: object) -> Shown | None:
    name = _text(value)
    return f"{name[0]}{HIDDEN}" if len(name) > 1 and name[0].isalpha() else None


def _email_domain(value: object) -> Shown | None:
    parts = _EMAIL.fullmatch(_text(value))
    return f"{parts[1][0]}{HIDDEN}@{parts[2]}" if parts and len(parts[1]) > 1 and parts[1][0].isalnum() else None


def _email_tld(value: object) -> Shown | None:
    parts = _EMAIL.fullmatch(_text(value))
    return f"{HIDDEN}@{HIDDEN}.{parts[3]}" if parts else None


def _phone_last3(value: object) -> Shown | None:
    country, national = _dialled(value)
    return f"+{country} {HIDDEN} {national[-3:]}" if country and len(national) >= 6 else None  # twice three


def _phone_country(value: object) -> Shown | None:
    country, _ = _dialled(value)
    return f"+{country} {HIDDEN}" if country else None


def _dialled(value: object) -> tuple[str, str]:
    """Return calling code and national number of E.164. No calling code is the beginning of another (ITU-T E.164)."""
    parts = _PHONE.fullmatch(_text(value))
    digits = parts[1] if parts else ""
    country = next((digits[:size] for size in (1, 2, 3) if int(digits[:size] or 0) in COUNTRY_CODE_TO_REGION_CODE), "")
    return country, digits[len(country) :]


def _birth_year(value: object) -> Shown | None:
    year = _born_in(value)
    return None if year is None else f"{year:04}"


def _birth_decade(value: object) -> Shown | None:
    year = _born_in(value)
    return None if year is None else f"{year // 10 * 10:04}–{year // 10 * 10 + 9:04}"


def _born_in(value: object) -> int | None:
    parts = _DATE.fullmatch(_text(value))
    try:
        return date(*map(int, parts.groups())).year if parts else None
    except ValueError:
        return None


def _address_city(value: object) -> Shown | None:
    kept = _place(value)
    return _address(kept) if kept.get("city") and kept.get("country") else None


def _address_country(value: object) -> Shown | None:
    kept = _place(value)
    return _address({"country": kept["country"]}) if kept.get("country") else None


def _place(value: object) -> dict[str, str]:
    """Return city, province and country, as far as they are texts."""
    given = value if isinstance(value, Mapping) else {}
    return {name: given[name] for name in ("city", "province", "country") if isinstance(given.get(name), str)}


def _address(kept: Mapping[str, str]) -> dict[str, Any]:
    return {name: kept.get(name) for name in ("street", "postal_code", "city", "province", "country")}


def _cf_last2(value: object) -> Shown | None:
    code = _text(value)
    return f"{HIDDEN}{code[-2:]}" if _TAX_CODE.fullmatch(code) else None


def _last2(value: object) -> Shown | None:
    number = _SEPARATORS.sub("", _text(value))
    return f"{HIDDEN}{number[-2:]}" if len(number) >= 4 else None  # twice two


def _last4(value: object) -> Shown | None:
    number = _SEPARATORS.sub("", _text(value))
    return f"•••• {number[-4:]}" if len(number) >= 8 else None  # twice four


def _iban_last4(value: object) -> Shown | None:
    number = _text(value)
    return f"{number[:2]}•• •••• {number[-4:]}" if _IBAN.fullmatch(number) else None


def _card_bin_last4(value: object) -> Shown | None:
    first, last = _card_ends(value)
    return f"{first}{'•' * (12 - len(first))}{last}" if first and last else None


def _card_last4(value: object) -> Shown | None:
    _, last = _card_ends(value)
    return f"•••• {last}" if last else None


def _card_ends(value: object) -> tuple[str, str]:
    """Return BIN (six or eight digits) and last four, empty where they are not exactly that."""
    given = value if isinstance(value, Mapping) else {}
    first, last = _text(given.get("bin")), _text(given.get("last4"))
    return (
        first if _BIN.fullmatch(first) else "",
        last if _LAST_FOUR.fullmatch(last) else "",
    )


def _money_band(value: object) -> Shown | None:
    given = value if isinstance(value, Mapping) else {}
    amount, currency = _text(given.get("amount")), _text(given.get("currency"))
    if not _AMOUNT.fullmatch(amount) or not _CURRENCY.fullmatch(currency):
        return None
    if amount[0] == "-" and amount.strip("-0."):
        return f"< 0 {currency}"
    above = bisect_right(_THOUSANDS, abs(int(amount.partition(".")[0])) // 1000)
    if above == len(_THOUSANDS):
        return f"≥ {_spaced(_THOUSANDS[-1])} {currency}"
    return f"{_spaced(_THOUSANDS[above - 1])}–{_spaced(_THOUSANDS[above])} {currency}"


def _spaced(thousands: int) -> str:
    return f"{thousands} 000" if thousands else "0"


def _text_redacted(_value: object) -> Shown | None:
    """Until redaction can label what is personal in a text, nothing of it is shown."""
    return None


def _file_facts(value: object) -> Shown | None:
    """Show type, size band and day of a file, never its name."""
    given = value if isinstance(value, Mapping) else {}
    media_type, size, received_on = _text(given.get("media_type")), given.get("bytes"), _text(given.get("received_on"))
    if not _MEDIA_TYPE.fullmatch(media_type) or not isinstance(size, int) or _born_in(received_on) is None:
        return None
    band = next((name for bound, name in _FILE_BANDS if size < bound), _LARGEST_FILES)
    return {"media_type": media_type, "bytes_band": band, "received_on": received_on}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _ladder(*steps: Callable[[object], Shown | None]) -> Callable[[object], Shown]:
    """Return the mask that shows what the first step able to show it shows, in the end nothing but bullets."""

    def mask(value: object) -> Shown:
        for step in steps:
            shown = step(value)
            if shown is not None:
                return shown
        return HIDDEN

    return mask


MASKS: Final[Mapping[str, Callable[[object], Shown]]] = {
    "initial": _ladder(_initial),
    "email_domain": _ladder(_email_domain, _email_tld),
    "email_tld": _ladder(_email_tld),
    "phone_last3": _ladder(_phone_last3, _phone_country),
    "phone_country": _ladder(_phone_country),
    "birth_year": _ladder(_birth_year, _birth_decade),
    "birth_decade": _ladder(_birth_decade),
    "address_city": _ladder(_address_city, _address_country),
    "address_country": _ladder(_address_country),
    "cf_last2": _ladder(_cf_last2),
    "last2": _ladder(_last2),
    "last4": _ladder(_last4),
    "iban_last4": _ladder(_iban_last4),
    "card_bin_last4": _ladder(_card_bin_last4, _card_last4),
    "card_last4": _ladder(_card_last4),
    "money_band": _ladder(_money_band),
    "text_redacted": _ladder(_text_redacted),
    "file_facts": _ladder(_file_facts),
}
