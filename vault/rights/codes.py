"""One-time codes: six digits to a contact that was on record before, which prove level 1 for one request. Pure.

Kept is a keyed hash bound to the request and the sending, never the digits. Source: `rights.md` 1.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from hmac import compare_digest
from typing import Final

from vault.octets import expand, lp, mac
from vault.rights.correcting import WAIT
from vault.rights.letter_words import Language
from vault.rights.letters import Facts

LEVEL: Final = 1
DIGITS: Final = 6
DRAWN_BYTES: Final = 16  # so many that no six digits are likelier than others by more than 1 in 2^108
TRIES: Final = 5
LIFE: Final = timedelta(minutes=10)
CHANNELS: Final = ("email",)  # by which contact a code can be sent


def settled_since(received_at: datetime, at: datetime) -> datetime:
    """Return since when a contact must have stood as it is: before the request came, and for a day."""
    return min(received_at, at - WAIT)


def code_digits(drawn: bytes) -> str:
    """Return the digits that random bytes stand for."""
    return f"{int.from_bytes(drawn, 'big') % 10**DIGITS:0{DIGITS}}"


def code_hash(secret: bytes, request_id: str, code_id: str, digits: str) -> bytes:
    """Return the 32 bytes a code is kept as. `secret`: the controller's index secret; `code_id`: of this one sending."""
    return mac(expand(secret, lp("riserbo.code.v1")), lp(request_id) + lp(code_id) + lp(digits))


def is_code(kept: bytes | None, said: bytes) -> bool:
    """Say in constant time whether what was said is what was sent; where nothing is kept, the same work and never."""
    return compare_digest(kept or bytes(32), said) & (kept is not None)


def code_mail(language: Language, facts: Facts, digits: str) -> tuple[str, str]:
    """Return subject line and text of the message that brings a code; the subject line, which locked screens show, does not."""
    words = _WORDS[language]
    said = words["code"].format(digits=digits, minutes=int(LIFE.total_seconds()) // 60, request_id=facts.request_id)
    parts = [words["greeting"], said, words["warning"].format(contact=facts.contact), facts.house]
    return words["subject"].format(house=facts.house), "\n\n".join(parts) + "\n"


_WORDS: Final[Mapping[Language, Mapping[str, str]]] = {
    "it": {
        "subject": "Il codice per la Sua richiesta - {house}",
        "greeting": "Buongiorno,",
        "code": "il codice per la richiesta {request_id} è {digits}. Vale {minutes} minuti, una volta sola.",
        "warning": "Lo usi solo se la richiesta è Sua. Se non ha chiesto nulla non lo dica a nessuno, neanche a chi La chiama a "
        "nostro nome, e ci avverta: {contact}.",
    },
    "en": {
        "subject": "The code for your request - {house}",
        "greeting": "Hello,",
        "code": "the code for request {request_id} is {digits}. It is good for {minutes} minutes, once.",
        "warning": "Use it only if the request is yours. If you asked for nothing, tell it to nobody, not even to someone who "
        "calls you in our name, and let us know: {contact}.",
    },
}
