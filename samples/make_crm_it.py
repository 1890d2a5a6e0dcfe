"""Makes `crm_it.csv` and `crm_it.key.json`: customers nobody is, in the layout of an Italian CRM, some lines spoilt in each way.

Names are invented, mail addresses stand in domains reserved for examples (RFC 2606), numbers that could reach somebody use blocks
of zeros and bank codes nobody has; check digits are right. Always the same bytes: `python samples/make_crm_it.py`.
"""

import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from pathlib import Path

HEADER = (
    "Codice Cliente", "Cognome", "Nome", "Sesso", "Data di nascita", "Comune di nascita", "Codice Fiscale", "E-mail", "Cellulare",
    "Telefono fisso", "Indirizzo", "CAP", "Comune", "Provincia", "IBAN", "Intestatario conto", "Numero polizza", "Reddito annuo",
    "Note operatore", "Contratto", "Data contratto", "Consenso marketing", "Data consenso", "Canale consenso",
)  # fmt: skip
ROWS = 200
ENCODING = "cp1252"
BORN = (
    "Abate", "Bellandi", "Cortelà", "Dorsino", "Eremiti", "Falcarò", "Gelmetti", "Iacolino", "Lùvari", "Morandello",
    "Nespoli d'Arno", "Orvesi", "Pratolini", "Quaresmini", "Rondelli", "Sartù", "Tolomesi", "Urbinelli", "Vescovati", "Zafferani",
)  # fmt: skip
WOMEN = ("Adalgisa", "Benedetta", "Celestina", "Dorotea", "Eufemia", "Fiammetta", "Ginevra", "Iside", "Lavinia", "Noemì")
MEN = ("Anselmo", "Baldassarre", "Ciriaco", "Doroteo", "Evaristo", "Fulgenzio", "Galdino", "Ireneo", "Lazzaro", "Niccolò")
TOWNS = (
    ("Milano", "MI", "20121", "F205"), ("Roma", "RM", "00184", "H501"), ("Torino", "TO", "10121", "L219"),
    ("Napoli", "NA", "80133", "F839"), ("Bologna", "BO", "40121", "A944"), ("Bari", "BA", "70121", "A662"),
    ("Forlì", "FC", "47121", "D704"), ("L'Aquila", "AQ", "67100", "A345"),
)  # fmt: skip
STREETS = ("Via dell'Esempio", "Viale del Campione", "Piazza della Prova", "Largo Fittizio")
NOTES = (
    "", "", "Preferisce essere chiamata dopo le 18; non il lunedì", 'Chiede di parlare con "la responsabile"',
    "Ha inviato certificato medico per intervento al ginocchio", "Sollecito n. 12:\nattende risposta scritta",
    "Iscritta al sindacato, chiede trattenuta in busta", "Figlio Ireneo autorizzato a chiamare, tel 333 0000999", "",
)  # fmt: skip
CHANNELS = ("telefono", "filiale", "web", "app")

_EVEN = {letter: value for letters in ("0123456789", "ABCDEFGHIJKLMNOPQRSTUVWXYZ") for value, letter in enumerate(letters)}
_ODD = dict(zip("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", (
    1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23,
), strict=True))  # fmt: skip
Row = dict[str, str]


def draw(row: int, what: str, among: int) -> int:
    """Return a number below `among` that depends on the row and on what it is drawn for, and on nothing else."""
    return int.from_bytes(hashlib.sha256(f"riserbo-sample:{row}:{what}".encode()).digest()[:8], "big") % among


def choose(row: int, what: str, among: Sequence[str]) -> str:
    """Return one of `among`."""
    return among[draw(row, what, len(among))]


def check_letter(code: str) -> str:
    """Return the check letter of Italian tax codes and account numbers: odd and even places weigh differently."""
    total = sum(_ODD[sign] if place % 2 == 0 else _EVEN[sign] for place, sign in enumerate(code))
    return chr(ord("A") + total % 26)


def tax_code(family_name: str, given_name: str, born: date, gender: str, town: str) -> str:
    """Return the tax code of an invented person (DM 23 December 1976)."""
    letters = _three(_plain(family_name), most=3) + _three(_plain(given_name), most=4)
    day = born.day + (40 if gender == "F" else 0)
    code = f"{letters}{born.year % 100:02}{'ABCDEHLMPRST'[born.month - 1]}{day:02}{town}"
    return code + check_letter(code)


def iban(account: int) -> str:
    """Return an Italian IBAN of bank 99999 and branch 99999, which nobody has, with both its checks right."""
    number = f"9999999999{account:012}"
    number = check_letter(number) + number
    digits = "".join(str(int(sign, 36)) for sign in number + "IT00")
    return f"IT{98 - int(digits) % 97:02}{number}"


def customer(row: int) -> Row:
    """Return a valid customer, the cells by column."""
    gender = choose(row, "gender", "FM")
    family_name, given_name = choose(row, "family", BORN), choose(row, "given", WOMEN if gender == "F" else MEN)
    born = date(1938, 1, 1) + timedelta(days=draw(row, "born", 29_000))  # a few are minors
    birth_town, home = TOWNS[draw(row, "birth", len(TOWNS))], TOWNS[draw(row, "home", len(TOWNS))]
    signed = date(2016, 1, 1) + timedelta(days=draw(row, "signed", 3_900))
    name = f"{_plain(given_name)}.{_plain(family_name)}{row}".lower()
    cells = dict.fromkeys(HEADER, "")
    cells |= {
        "Codice Cliente": f"C{row:07}", "Cognome": family_name, "Nome": given_name, "Sesso": gender,
        "Data di nascita": f"{born:%d/%m/%Y}", "Comune di nascita": birth_town[0],
        "Codice Fiscale": tax_code(family_name, given_name, born, gender, birth_town[3]),
        "E-mail": "" if row % 13 == 0 else f"{name}@{choose(row, 'domain', ('example.it', 'example.com'))}",
        "Cellulare": "" if row % 11 == 0 else mobile(row), "Telefono fisso": f"06 0000{row:04}" if row % 4 == 0 else "",
        "Indirizzo": f"{choose(row, 'street', STREETS)}, {1 + draw(row, 'number', 200)}",
        "CAP": home[2], "Comune": home[0], "Provincia": home[1],
        "IBAN": "" if row % 5 == 0 else iban(row), "Intestatario conto": f"{given_name} {family_name}",
        "Numero polizza": f"POL-{100_000 + draw(row, 'policy', 900_000)}" if row % 2 else "",
        "Reddito annuo": f"{8 + draw(row, 'income', 90)}.{draw(row, 'rest', 1_000):03},00" if row % 3 == 0 else "",
        "Note operatore": NOTES[draw(row, "note", len(NOTES))],
        "Contratto": "health-insurance" if row % 4 == 1 else "retail", "Data contratto": f"{signed:%d/%m/%Y}",
        "Consenso marketing": "N",
    }  # fmt: skip
    if row % 2 == 0:
        given = date(2023, 1, 1) + timedelta(days=draw(row, "consent", 1_400))  # some too old to count, the latest ahead of time
        cells |= {
            "Consenso marketing": "S",
            "Data consenso": f"{given:%d/%m/%Y}",
            "Canale consenso": choose(row, "channel", CHANNELS),
        }
    return cells


def mobile(row: int) -> str:
    """Return a mobile number of a block of zeros, in one of five spellings."""
    spelled = ("+39 333 {0}", "+39333{0}", "333 {0}", "333{0}", "0039 333-{0}")
    return spelled[draw(row, "spelling", 5)].format(f"000{row:04}")


def spoilt() -> dict[int, tuple[str, Callable[[Row], Row]]]:
    """Return what is done to which rows, with the code each is to be refused with."""

    def put(code: str, column: str, text: str) -> tuple[str, Callable[[Row], Row]]:
        return code, lambda cells: {**cells, column: text}

    def consent(**claimed: str) -> Callable[[Row], Row]:
        names = {"given": "Consenso marketing", "on": "Data consenso", "by": "Canale consenso"}
        return lambda cells: {**cells, "Consenso marketing": "S", **{names[name]: text for name, text in claimed.items()}}

    return {
        12: put("iban.checksum", "IBAN", "IT60X0542811101000000123457"),
        23: put("iban.syntax", "IBAN", "IT60X05428"),
        31: put("agreement.unknown_template", "Contratto", "vecchio listino"),
        38: ("columns.count", lambda cells: {name: cells[name] for name in HEADER[:21]}),
        45: put("date_of_birth.invalid", "Data di nascita", "31/02/1980"),
        52: put("date_of_birth.invalid", "Data di nascita", "1980-02-03"),
        60: put("codice_fiscale.checksum", "Codice Fiscale", "RSSMRA80A01H501A"),
        67: ("consent.missing_date", consent(on="", by="web")),
        74: ("consent.missing_channel", consent(on="03/02/2026", by="")),
        81: ("consent.unknown_channel", consent(on="03/02/2026", by="passaparola")),
        88: put("consent.invalid", "Consenso marketing", "forse"),
        95: put("customer_number.missing", "Codice Cliente", ""),
        102: put("phone.invalid", "Cellulare", "chiedere al marito"),
        110: put("phone.invalid", "Telefono fisso", "06 12"),
        117: put("email.syntax", "E-mail", "nome@@example.it"),
        124: put("customer_number.duplicate", "Codice Cliente", "C0000001"),
        131: put("customer_number.duplicate", "Codice Cliente", " c-0000002"),
        138: put("code.unknown", "Sesso", "Q"),
        145: put("money.invalid", "Reddito annuo", "38,000.00"),
        152: put("agreement.missing_date", "Data contratto", ""),
        159: put("free_text.card-number", "Note operatore", "Carta 4111 1111 1111 1111 scadenza 12/27"),
        166: put("address.syntax", "CAP", "2012"),
        173: ("line.encoding", lambda cells: cells),
        180: ("line.csv", lambda cells: cells),
        # Two faults in one line: the leftmost is told; and a repeated number whose first line was refused is no duplicate.
        187: (
            "codice_fiscale.checksum",
            lambda cells: {**cells, "Codice Fiscale": "RSSMRA80A01H501A", "IBAN": "IT60X0542811101000000123457"},
        ),
        194: ("", lambda cells: {**cells, "Codice Cliente": "C0000012"}),
    }


def make() -> tuple[bytes, dict[str, object]]:
    """Return the file and its key."""
    lines, refused = [_line(HEADER)], {}
    number = 2
    for row in range(1, ROWS + 1):
        code, spoil = spoilt().get(row, ("", lambda cells: cells))
        octets = _line(tuple(spoil(customer(row)).values()))
        if code == "line.encoding":
            octets = octets.replace(b"C0", b"\x81\x8d", 1)
        if code == "line.csv":
            octets = octets.replace(b";", b';"', 1)
        if code:
            refused[number] = code
        lines.append(octets)
        number += octets.count(b"\n")
    counts = Counter(refused.values())
    key = {
        "rows": ROWS, "accepted": ROWS - len(refused), "refused": len(refused), "refused_by_code": dict(sorted(counts.items())),
        "refused_lines": {str(line): code for line, code in refused.items()},
    }  # fmt: skip
    return b"".join(lines), key


def _line(cells: Sequence[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, delimiter=";", lineterminator="\r\n").writerow(cells)
    return text.getvalue().encode(ENCODING)


def _plain(name: str) -> str:
    return name.upper().translate(str.maketrans("ÀÈÉÌÒÙ", "AEEIOU", " '"))


def _three(name: str, most: int) -> str:
    """Return the three letters a name has in a tax code; of four consonants a given name leaves out the second."""
    consonants = [letter for letter in name if letter not in "AEIOU"]
    if len(consonants) >= 4 == most:
        del consonants[1]
    return ("".join(consonants) + "".join(letter for letter in name if letter in "AEIOU") + "XXX")[:3]


def main() -> None:
    """Write both files beside this one."""
    here = Path(__file__).parent
    octets, key = make()
    (here / "crm_it.csv").write_bytes(octets)
    (here / "crm_it.key.json").write_text(json.dumps(key, indent=1) + "\n")


if __name__ == "__main__":
    main()
