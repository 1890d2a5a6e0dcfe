"""The one spelling each type of value is kept, compared and masked in. Pure.

Rules, version 1. A changed rule is a new version of the index, never an edit of this one.

- email             NFKC; domain to A-label (UTS #46), lower; local part casefold, NFKC; no dot or plus tricks. RFC 5321, 6531.
- phone             E.164, the controller's region where no country is dialled; extension dropped; Italian landlines keep their 0.
- codice_fiscale    upper, separators out; shape and check character only (DM 23 December 1976). An omocodic code is its own
                    code; towns and dates are not judged: the registers are not ours. Also the provisional form of 11 digits.
- vat_number, iban  separators out; check digit (Luhn; ISO 7064 mod 97-10), length and structure by country (ISO 13616).
- document, identifier, customer_number    NFKC, upper, as printed; hashed without spaces and `-./`, leading zeros kept.
- money             {"amount": "42000.00", "currency": "EUR"}: text, because JSON's floats round.
- address, card     objects with exactly the members named below; absent ones are null.
- file              never: no route takes files here.

A payment card number is refused wherever free digits are possible, so that the vault stays out of scope of PCI DSS.
"""

import re
from collections.abc import Callable, Collection, Mapping
from datetime import date
from typing import Any, Final
from unicodedata import normalize

import idna
import orjson
import phonenumbers
from stdnum import iban, luhn
from stdnum.it import codicefiscale

from vault.errors import Fault, InvalidValue

Value = str | int | dict[str, str | None]

VERSION: Final = 1
MAX_BYTES: Final = 16 * 1024  # of the JSON that is sealed
OLDEST_YEAR: Final = 1850  # earlier is a typing error or a placeholder; later than today is the verb's to judge, it has a clock

ADDRESS_MEMBERS: Final = ("street", "postal_code", "city", "province", "country")
CARD_MEMBERS: Final = ("reference", "bin", "last4", "expires")

_MAX_NAME = 200
_MAX_TEXT = 2000
_MIN_PHRASE = 6
_MAX_SCORE = 9999

_SEPARATORS = re.compile(r"[\s./:-]+")
_PRINTED = re.compile(r"(?=.*[A-Z0-9])[A-Z0-9 ._/-]{1,64}")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")  # direction overrides make a name read as another
_CONTROL_IN_TEXT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_LINE_BREAKS = re.compile("\r\n|[\r\v\f\x85\u2028\u2029]")
_ATOM = r'[^\s.()<>@,;:\\"\[\]]+'
_LOCAL = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]")
_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_TAX_CODE = re.compile(
    r"[A-Z]{6}[0-9LMNPQRSTUV]{2}[ABCDEHLMPRST][0-9LMNPQRSTUV]{2}[A-Z][0-9LMNPQRSTUV]{3}[A-Z]"
)  # L–V stand for digits where two people would share a code (omocodia)
_IBAN = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}")
_AMOUNT = re.compile(r"(-?)0*([0-9]{1,15})(?:\.([0-9]{1,4}))?")
_DIGIT_RUN = re.compile(r"[0-9](?:[ -]?[0-9]){12,}")
_IBAN_HEAD = re.compile(r"\b[A-Za-z]{2}([0-9]{2} ?[A-Za-z])?$")
_CARD_NUMBER = re.compile(  # Visa, Mastercard, Amex, JCB, Diners, Discover, UnionPay and Maestro ranges
    r"4(?:[0-9]{12}|[0-9]{15}|[0-9]{18})|(?:5[1-5]|2[2-7])[0-9]{14}|3[47][0-9]{13}|35[0-9]{14}|3[0689][0-9]{12}|6[0-9]{15,18}"
    r"|(?:50|5[6-9])[0-9]{14,17}"
)


def normalise(type_name: str, value: object, region: str = "IT", values: Collection[str] = ()) -> Value:
    """Return the canonical form of `value`: a string, an integer or a catalogue object, ready to be sealed as JSON.

    `region` (ISO 3166-1 alpha-2) is the controller's: phones without a country and addresses without one are there. `values` are
    what the catalogue allows for a field of type `code`. Normalising what was normalised changes nothing.

    Raises InvalidValue with one fault `<type>.<problem>` and the pointer inside the value; never with the value, not even as
    the error's context. Raises ValueError for a type the vault does not have.
    """
    if type_name not in _RULES:
        raise ValueError("no such type")
    return _RULES[type_name](type_name, value, region, values)


def index_text(type_name: str, normalised: Value) -> str:
    """Return what a blind index hashes for a normalised value. Raises ValueError for a type that cannot be looked up."""
    if type_name not in INDEXED_TYPES or not isinstance(normalised, str):
        raise ValueError("not an indexed type")
    if type_name in ("codice_fiscale", "vat_number"):
        return f"IT:{normalised}"
    if type_name in ("document", "identifier", "customer_number"):
        return _SEPARATORS.sub("", normalised)
    return normalised


def match_text(type_name: str, normalised: Value) -> str:
    """Return what is compared when somebody says a value aloud: all of it; capitals and spacing do not count."""
    if type_name in INDEXED_TYPES and isinstance(normalised, str):
        return index_text(type_name, normalised)
    text = normalised if isinstance(normalised, str) else orjson.dumps(normalised, option=orjson.OPT_SORT_KEYS).decode()
    return " ".join(_fold(normalize("NFKC", text)).split())


def holds_card_number(text: str) -> bool:
    """Tell whether 13 to 19 digits in a row, single spaces and dashes allowed, are a payment card number (range and Luhn)."""
    folded = normalize("NFKC", text)
    for run in _DIGIT_RUN.finditer(folded):
        groups = re.split("[ -]", run[0])
        head = _IBAN_HEAD.search(folded[max(0, run.start() - 6) : run.start()])
        if head and (head[1] or len(groups[0]) == 2):  # an IBAN in fours: one in twenty would pass for a card
            continue
        if any(_is_card_number("".join(groups[start:end])) for start in range(len(groups)) for end in _ends(start, len(groups))):
            return True
    return False


def _ends(start: int, count: int) -> range:
    return range(start + 1, min(start + 19, count) + 1)


def _is_card_number(number: str) -> bool:
    return _CARD_NUMBER.fullmatch(number) is not None and luhn.is_valid(number)


# --- what the rules share ---------------------------------------------------------------------------------------------------


def _invalid(type_name: str, problem: str, pointer: str = "") -> InvalidValue:
    return InvalidValue(faults=[Fault(pointer, f"{type_name}.{problem}")])


def _text(type_name: str, value: object, form: str, problem: str = "syntax") -> str:
    """Return `value` in the Unicode form (NFC or NFKC). Raises InvalidValue unless it is a string that UTF-8 can carry."""
    if not isinstance(value, str) or _SURROGATE.search(value):
        raise _invalid(type_name, problem)
    if len(value) > MAX_BYTES:
        raise _invalid(type_name, "too-long")
    return normalize("NFC" if form == "NFC" else "NFKC", value)


def _line(type_name: str, value: object, form: str = "NFKC", longest: int = _MAX_TEXT, problem: str = "syntax") -> str:
    """Return one trimmed line with single spaces, without control characters or card numbers."""
    text = " ".join(_text(type_name, value, form, problem).split())
    if not text:
        raise _invalid(type_name, "missing")
    if len(text) > longest:
        raise _invalid(type_name, "too-long")
    if _CONTROL.search(text):
        raise _invalid(type_name, problem)
    return text


def _no_card_number(type_name: str, text: str) -> str:
    if holds_card_number(text):
        raise _invalid(type_name, "card-number")
    return text


def _compact(type_name: str, value: object) -> str:
    return _SEPARATORS.sub("", _line(type_name, value)).upper()


def _fold(text: str) -> str:
    """Casefold a text that is NFKC already, so that one round is enough (Unicode, section 3.13, D147)."""
    return normalize("NFKC", text.casefold())


def _members(type_name: str, value: object, allowed: tuple[str, ...]) -> dict[str, str | None]:
    """Return all `allowed` members, each a text or null. An unknown member's name is not repeated: it may be a value."""
    if not isinstance(value, Mapping):
        raise _invalid(type_name, "syntax")
    if not set(value) <= set(allowed):
        raise _invalid(type_name, "unknown-member")
    return {name: _member(type_name, name, value.get(name)) for name in allowed}


def _member(type_name: str, name: str, value: object) -> str | None:
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        return _no_card_number(type_name, _line(type_name, value, "NFC", _MAX_NAME))
    except InvalidValue as error:
        fault = Fault(f"/{name}", error.faults[0].code)
    raise InvalidValue(faults=[fault])


# --- one rule for each type -------------------------------------------------------------------------------------------------


def _email(type_name: str, value: object, _region: str, _values: Collection[str]) -> str:
    local, _, domain = _line(type_name, value).rpartition("@")
    local, host = _fold(local), _host(domain)
    address = f"{local}@{host}"
    if host is None or not _LOCAL.fullmatch(local) or len(local.encode()) > 64 or len(address.encode()) > 254:  # RFC 5321, 4.5.3.1
        raise _invalid(type_name, "syntax")
    return address


def _host(domain: str) -> str | None:
    """Return the domain as lower-case A-labels, or None. At least two labels: nobody's customer has an address at a bare TLD."""
    try:
        host = idna.encode(domain, uts46=True, std3_rules=True).decode("ascii")
    except UnicodeError:
        return None
    return host if _DOMAIN.fullmatch(host) else None


def _phone(type_name: str, value: object, region: str, _values: Collection[str]) -> str:
    text = _line(type_name, value, problem="invalid")
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        number = None
    # Letters are right in an extension only: "call after 9 at 333…" and keypad spellings are not numbers somebody gave.
    spelt = number is not None and number.extension is None and any(letter.isalpha() for letter in text)
    if number is None or spelt or not phonenumbers.is_valid_number(number):
        raise _invalid(type_name, "invalid")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _date_of_birth(type_name: str, value: object, _region: str, _values: Collection[str]) -> str:
    text = _line(type_name, value, problem="invalid")
    parts = _DATE.fullmatch(text)
    if parts is None or int(parts[1]) < OLDEST_YEAR or not _is_date(*map(int, parts.groups())):
        raise _invalid(type_name, "invalid")
    return text


def _is_date(year: int, month: int, day: int) -> bool:
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True


def _codice_fiscale(type_name: str, value: object, region: str, values: Collection[str]) -> str:
    text = _compact(type_name, value)
    if len(text) == 11:  # the provisional code has the form of a VAT number
        return _vat_number(type_name, text, region, values)
    if not re.fullmatch("[A-Z0-9]{16}", text):
        raise _invalid(type_name, "syntax")
    if codicefiscale.calc_check_digit(text[:15]) != text[15]:
        raise _invalid(type_name, "checksum")
    if not _TAX_CODE.fullmatch(text):
        raise _invalid(type_name, "syntax")
    return text


def _vat_number(type_name: str, value: object, _region: str, _values: Collection[str]) -> str:
    text = _compact(type_name, value).removeprefix("IT")
    if not re.fullmatch("(?!0{7})[0-9]{11}", text):
        raise _invalid(type_name, "syntax")
    if not luhn.is_valid(text):
        raise _invalid(type_name, "checksum")
    return text


def _iban(type_name: str, value: object, _region: str, _values: Collection[str]) -> str:
    text = _compact(type_name, value)
    if not _IBAN.fullmatch(text):
        raise _invalid(type_name, "syntax")
    if iban.calc_check_digits(text) != text[2:4]:  # not mod 97 = 1 alone, which 00, 01 and 99 can satisfy too
        raise _invalid(type_name, "checksum")
    if not iban.is_valid(text, check_country=False):
        raise _invalid(type_name, "syntax")  # no such country, or not its length and structure
    return text


def _printed_number(type_name: str, value: object, _region: str, _values: Collection[str]) -> str:
    text = _no_card_number(type_name, _line(type_name, value).upper())
    if not _PRINTED.fullmatch(text):
        raise _invalid(type_name, "syntax")
    return text


def _name(type_name: str, value: object, _region: str, _values: Collection[str]) -> str:
    return _no_card_number(type_name, _line(type_name, value, "NFC", _MAX_NAME))


def _short_text(type_name: str, value: object, _region: str, _values: Collection[str]) -> str:
    return _no_card_number(type_name, _line(type_name, value, "NFC"))


def _free_text(type_name: str, value: object, _region: str, _values: Collection[str]) -> str:
    text = _LINE_BREAKS.sub("\n", _text(type_name, value, "NFC")).strip()
    if not text:
        raise _invalid(type_name, "missing")
    if _CONTROL_IN_TEXT.search(text):
        raise _invalid(type_name, "syntax")
    if len(orjson.dumps(text)) > MAX_BYTES:
        raise _invalid(type_name, "too-long")
    return _no_card_number(type_name, text)


def _phrase(type_name: str, value: object, _region: str, _values: Collection[str]) -> str:
    """A phrase is said aloud: capitals and spacing do not count."""
    text = " ".join(_fold(_line(type_name, value)).split())
    if not _MIN_PHRASE <= len(text) <= _MAX_NAME:
        raise _invalid(type_name, "length")
    return _no_card_number(type_name, text)


def _code(type_name: str, value: object, _region: str, values: Collection[str]) -> str:
    text = value.strip().lower() if isinstance(value, str) else None
    if text is None or text not in values:
        raise _invalid(type_name, "unknown")
    return text


def _score(type_name: str, value: object, _region: str, _values: Collection[str]) -> int:
    if isinstance(value, str) and re.fullmatch("[0-9]{1,4}", value):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_SCORE:
        return value
    raise _invalid(type_name, "invalid")


def _money(type_name: str, value: object, _region: str, _values: Collection[str]) -> dict[str, str | None]:
    """Take the object, or its amount alone as text, which is then in euro."""
    given = value if isinstance(value, Mapping) else {"amount": value, "currency": "EUR"}
    amount, currency = given.get("amount"), given.get("currency")
    parts = _AMOUNT.fullmatch(amount) if isinstance(amount, str) else None
    if parts is None or len(given) != 2:  # amount and currency
        raise _invalid(type_name, "syntax")
    if not isinstance(currency, str) or not re.fullmatch("[A-Z]{3}", currency):
        raise _invalid(type_name, "currency", "/currency")
    decimals = (parts[3] or "").ljust(2, "0")
    sign = parts[1] if int(parts[2] + decimals) else ""
    return {"amount": f"{sign}{parts[2]}.{decimals}", "currency": currency}


def _address(type_name: str, value: object, region: str, _values: Collection[str]) -> dict[str, str | None]:
    members = _members(type_name, value, ADDRESS_MEMBERS)
    if not any(members[name] for name in ADDRESS_MEMBERS[:-1]):
        raise _invalid(type_name, "missing")
    members["country"] = _shaped(type_name, "country", (members["country"] or region).upper(), "[A-Z]{2}")
    if members["country"] == "IT":
        members["postal_code"] = _shaped(type_name, "postal_code", members["postal_code"], "[0-9]{5}")
        members["province"] = _shaped(type_name, "province", members["province"] and members["province"].upper(), "[A-Z]{2}")
    return members


def _card(type_name: str, value: object, _region: str, _values: Collection[str]) -> dict[str, str | None]:
    """Take the payment provider's reference and what PCI DSS 3.4.1 lets be shown; a card number is refused in every member."""
    if isinstance(value, str):
        raise _invalid(type_name, "card-number" if holds_card_number(value) else "syntax")
    members = _members(type_name, value, CARD_MEMBERS)
    for name, shape in (("bin", "[0-9]{6}(?:[0-9]{2})?"), ("last4", "[0-9]{4}"), ("expires", "[0-9]{4}-(?:0[1-9]|1[0-2])")):
        _shaped(type_name, name, members[name], shape)
    for name in ("reference", "last4"):
        if members[name] is None:
            raise _invalid(type_name, "missing", f"/{name}")
    reference = _shaped(type_name, "reference", members["reference"], "[A-Za-z0-9._~:-]{1,64}")
    if holds_card_number(f"{members['bin'] or ''}{reference}{members['last4']}"):  # the middle digits under another name
        raise _invalid(type_name, "card-number", "/reference")
    return members


def _shaped(type_name: str, name: str, text: str | None, shape: str) -> str | None:
    if text is not None and not re.fullmatch(shape, text):
        raise _invalid(type_name, "syntax", f"/{name}")
    return text


def _file(type_name: str, _value: object, _region: str, _values: Collection[str]) -> Value:
    raise _invalid(type_name, "not-accepted")


_RULES: Final[Mapping[str, Callable[[str, Any, str, Collection[str]], Value]]] = {
    "address": _address,
    "card": _card,
    "code": _code,
    "codice_fiscale": _codice_fiscale,
    "customer_number": _printed_number,
    "date_of_birth": _date_of_birth,
    "document": _printed_number,
    "email": _email,
    "file": _file,
    "free_text": _free_text,
    "iban": _iban,
    "identifier": _printed_number,
    "money": _money,
    "name": _name,
    "phone": _phone,
    "phrase": _phrase,
    "score": _score,
    "text": _short_text,
    "vat_number": _vat_number,
}

TYPES: Final = frozenset(_RULES)
INDEXED_TYPES: Final = frozenset(
    {"codice_fiscale", "customer_number", "document", "email", "iban", "identifier", "phone", "vat_number"}
)
