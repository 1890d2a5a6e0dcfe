"""Who the benchmarks' customers are, and what is asked about them: invented people, drawn by number, always the same.

The masked read of docs/performance.md is 30 text fields of about 20 characters in three classes, 18 masked and 12 clear, all
opened. No role of the shipped policy sees exactly that. What comes nearest, and is used, is the request officer's reading on an
accepted request over the channel `email`, of 30 named fields: 19 masked, 6 clear, 5 withheld because the channel allows them no
clear value and they have no mask; 25 values are opened, in three classes. Beside it the second tier's default reading of an agent
on a verified ticket is shown: 14 masked, 8 clear, two files nobody gave.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import yaml

from samples.make_crm_it import BORN, MEN, STREETS, TOWNS, WOMEN, choose, draw, iban, tax_code

TEMPLATE = "health-insurance"  # the one shipped template that grants all thirty fields
TOKENS = 8  # of each role's caller
SIGNED_ON = "2024-05-03"

CLEAR_BY_EMAIL = ("customer_number", "given_name", "family_name", "preferred_language", "contact_hours", "marketing_choice")
MASKED_BY_EMAIL = (
    "date_of_birth", "email", "mobile", "phone", "address", "support_note", "related_person", "tax_code", "vat_number",
    "identity_document", "passport", "iban", "account_holder", "card", "contract_number", "policy_number", "balance",
    "annual_income", "health_card_number",
)  # fmt: skip
WITHHELD_BY_EMAIL = ("gender", "birth_place", "health_note", "allergies", "disability")
CLEAR_TO_T2 = (*CLEAR_BY_EMAIL, "contract_number", "policy_number")
_NOT_FOR_T2 = {*CLEAR_TO_T2, "balance", "annual_income", "health_card_number"}
MASKED_TO_T2 = tuple(name for name in MASKED_BY_EMAIL if name not in _NOT_FOR_T2)


@dataclass(frozen=True, slots=True)
class Workload:
    """One kind of reading: who asks, why, where, of which fields (None: the role's default set), and what must come back.

    `role` names the demo's identity of that role; `topic` is that of the open case about each customer, which is theirs.
    """

    name: str
    role: str
    purpose: str
    channel: str
    topic: str
    fields: tuple[str, ...] | None
    clear: frozenset[str]
    masked: frozenset[str]

    def ticket(self, row: int) -> str:
        """Return the case that justifies it."""
        return f"{self.role}-{row}"


MASKED_READ = Workload(
    "masked_read", "dsr-officer", "rights-fulfilment", "email", "request",
    (*CLEAR_BY_EMAIL, *MASKED_BY_EMAIL, *WITHHELD_BY_EMAIL), frozenset(CLEAR_BY_EMAIL), frozenset(MASKED_BY_EMAIL),
)  # fmt: skip
T2_DEFAULT = Workload(
    "t2_default", "t2", "customer-care", "phone", "complaint", None, frozenset(CLEAR_TO_T2), frozenset(MASKED_TO_T2)
)
WORKLOADS = (MASKED_READ, T2_DEFAULT)
FLOOR = "read_and_record"  # what the masked read cannot beat: benchmarks/floor.py


def customer(row: int) -> dict[str, Any]:
    """Return the thirty values of a customer, as the vault keeps them."""
    gender = choose(row, "gender", "FM")
    family, given = choose(row, "family", BORN), choose(row, "given", WOMEN if gender == "F" else MEN)
    birth, home = TOWNS[draw(row, "birth", len(TOWNS))], TOWNS[draw(row, "home", len(TOWNS))]
    born = date(1940 + draw(row, "year", 60), 1 + draw(row, "month", 12), 1 + draw(row, "day", 28))
    return {
        "customer_number": f"C{row:07}", "given_name": given, "family_name": family,
        "preferred_language": "it", "contact_hours": "dalle 18 alle 20", "marketing_choice": "opted-out",
        "date_of_birth": born.isoformat(), "gender": "female" if gender == "F" else "male", "birth_place": birth[0],
        "email": f"cliente.{row:07}@example.it", "mobile": f"+39333{row:07}", "phone": f"+39060{row:07}",
        "address": {
            "street": f"{choose(row, 'street', STREETS)}, {1 + draw(row, 'number', 200)}",
            "postal_code": home[2], "city": home[0], "province": home[1], "country": "IT",
        },
        "support_note": f"Richiamata il giorno {1 + row % 28}", "related_person": f"{choose(row, 'other', WOMEN)} {family}",
        "tax_code": tax_code(family, given, born, gender, birth[3]), "vat_number": _vat_number(row),
        "identity_document": f"CA{row:05} ZZ", "passport": f"YB{row:07}", "iban": iban(row), "account_holder": f"{given} {family}",
        "card": {"reference": f"ref-{row:012}", "bin": None, "last4": f"{row % 10_000:04}", "expires": "2031-01"},
        "contract_number": f"CTR-2024-{row:07}", "policy_number": f"POL-2024-{row:07}",
        "balance": {"amount": f"{1 + row % 90_000}.50", "currency": "EUR"},
        "annual_income": {"amount": f"{10_000 + row % 80_000}.00", "currency": "EUR"},
        "health_card_number": f"TS-{row:010}", "health_note": f"Controllo numero {row:05}", "allergies": "nessuna nota alla visita",
        "disability": "nessuna certificata",
    }  # fmt: skip


def _vat_number(row: int) -> str:
    """Return a VAT number of the province code 999, which none has, with its check digit (Luhn)."""
    digits = f"{row:07}999"
    weighed = (int(digit) * (1 + place % 2) for place, digit in enumerate(digits))
    return f"{digits}{-sum(sum(divmod(one, 10)) for one in weighed) % 10}"


def line(row: int) -> dict[str, str]:
    """Return the customer as one object of texts, as another system would export it."""
    flat: dict[str, str] = {"signed_on": SIGNED_ON}
    for name, value in customer(row).items():
        if name in ("balance", "annual_income"):
            flat[name] = value["amount"]
        elif isinstance(value, Mapping):
            flat |= {f"{name}_{part}": text for part, text in value.items() if text is not None}
        else:
            flat[name] = value
    return flat


def mapping() -> str:
    """Return the mapping under which `riserbo import` reads such lines."""
    fields: dict[str, Any] = {name: name for name in customer(1)}
    for name in ("address", "card"):
        fields[name] = {"parts": {part: f"{name}_{part}" for part, text in customer(1)[name].items() if text is not None}}
    document = {
        "schema": "riserbo-mapping/1",
        "id": "bench",
        "file": {"format": "ndjson"},
        "fields": fields,
        "agreement": {"template": {"constant": TEMPLATE}, "signed_on": "signed_on"},
    }
    return yaml.safe_dump(document)


def path(workload: Workload, subject_id: str) -> str:
    """Return where this reading is asked for."""
    query = f"?fields={','.join(workload.fields)}" if workload.fields else ""
    return f"/v1/subjects/{subject_id}/profile{query}"


def headers(workload: Workload, row: int, token: str) -> dict[str, str]:
    """Return who asks and why."""
    return {
        "Authorization": f"Bearer {token}",
        "Vault-Purpose": workload.purpose,
        "Vault-Channel": workload.channel,
        "Vault-Ticket": workload.ticket(row),
    }


def request(workload: Workload, subject_id: str, row: int, token: str) -> bytes:
    """Return one whole HTTP request."""
    said = "".join(f"{name}: {text}\r\n" for name, text in headers(workload, row, token).items())
    return f"GET {path(workload, subject_id)} HTTP/1.1\r\nHost: 127.0.0.1\r\n{said}\r\n".encode()
