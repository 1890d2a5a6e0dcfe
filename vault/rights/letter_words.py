"""The words of letters, in Italian and English: short sentences that somebody understands who never heard of the GDPR. Pure."""

from collections.abc import Mapping
from typing import Final, Literal

from vault.rights import kinds

Language = Literal["it", "en"]

KINDS: Final[Mapping[str, Mapping[Language, str]]] = {
    "access": {"it": "sapere quali Suoi dati conserviamo", "en": "know what data we hold about you"},
    "portability": {"it": "ricevere i Suoi dati per portarli altrove", "en": "receive your data to take them elsewhere"},
    "rectification": {"it": "correggere i Suoi dati", "en": "have your data corrected"},
    "erasure": {"it": "cancellare i Suoi dati", "en": "have your data erased"},
    "restriction": {"it": "limitare l'uso dei Suoi dati", "en": "have the use of your data restricted"},
    "objection": {"it": "opporsi all'uso dei Suoi dati", "en": "object to the use of your data"},
    "objection-marketing": {"it": "non ricevere più pubblicità", "en": "receive no more advertising"},
    "withdrawal": {"it": "revocare un consenso", "en": "withdraw a consent"},
    "human-review": {"it": "far riesaminare una decisione da una persona", "en": "have a decision reviewed by a person"},
    "recipients": {"it": "sapere chi ha ricevuto i Suoi dati", "en": "know who received your data"},
    "access-log": {"it": "sapere chi ha visto i Suoi dati", "en": "know who looked at your data"},
    "obscuring": {"it": "oscurare dati sulla salute", "en": "have health data obscured"},
    "onco-oblivion": {"it": "far valere l'oblio oncologico", "en": "have past cancer forgotten"},
    "deceased": {"it": "esercitare i diritti di una persona deceduta", "en": "exercise the rights of somebody who died"},
    "dispute": {"it": "contestare un accesso ai Suoi dati", "en": "dispute an access to your data"},
}
assert KINDS.keys() == kinds.KINDS.keys()  # noqa: S101 - total, or nothing starts

WORDS: Final[Mapping[Language, Mapping[str, str]]] = {
    "it": {
        "subject": "La Sua richiesta sui dati personali - {house}",
        "greeting": "Buongiorno,",
        "received": "abbiamo ricevuto la Sua richiesta di {kind}. Le risponderemo {due}. Se non l'ha fatta Lei, ce lo dica subito.",
        "accepted": "abbiamo accolto la Sua richiesta di {kind} e la stiamo eseguendo. Sarà conclusa {due}.",
        "fulfilled": "abbiamo concluso la Sua richiesta di {kind}.",
        "refused": "non possiamo accogliere la Sua richiesta di {kind}. Il motivo: {text} ({law}).",
        "withdrawn": "la Sua richiesta di {kind} è stata ritirata, come ci ha chiesto. Se non è stato Lei, ce lo dica subito.",
        "duplicate": "la Sua richiesta di {kind} ripete una precedente ancora aperta: vale la data di quella.",
        "unidentified": "chiudiamo la Sua richiesta di {kind}, perché non abbiamo potuto verificare la Sua identità.",
        "contact-changing": "ci è stato chiesto di cambiare i recapiti o le coordinate con cui La raggiungiamo. Il cambiamento "
        "non vale prima di 24 ore da questo messaggio. Se non l'ha chiesto Lei, ci scriva o ci chiami subito: lo fermeremo.",
        "last": "Con i Suoi dati cancelleremo anche questo indirizzo: è l'ultimo messaggio che riceve su questa richiesta.",
        "look": "Trova tutto qui, dopo l'accesso: {portal}",
        "remedies": "Se non è d'accordo può proporre reclamo al Garante per la protezione dei dati personali "
        "(www.garanteprivacy.it) o ricorrere al tribunale.",
        "reach": "Ci può raggiungere così: {contact}. Responsabile della protezione dei dati: {dpo}. Numero della richiesta: "
        "{request_id}",
    },
    "en": {
        "subject": "Your request about personal data - {house}",
        "greeting": "Hello,",
        "received": "we have received your request to {kind}. We will answer {due}. If it was not you, please tell us at once.",
        "accepted": "we have accepted your request to {kind} and are carrying it out. It will be done {due}.",
        "fulfilled": "we have completed your request to {kind}.",
        "refused": "we cannot grant your request to {kind}. The reason: {text} ({law}).",
        "withdrawn": "your request to {kind} was withdrawn, as you asked. If it was not you, please tell us at once.",
        "duplicate": "your request to {kind} repeats an earlier one that is still open: the date of that one counts.",
        "unidentified": "we are closing your request to {kind}, because we could not verify your identity.",
        "contact-changing": "somebody asked us to change how we reach or pay you. The change does not take effect within "
        "24 hours of this message. If it was not you, write to us or call us at once: we will stop it.",
        "last": "With your data we will erase this address as well: this is the last message you receive about this request.",
        "look": "You find everything here, once you have signed in: {portal}",
        "remedies": "If you do not agree you may lodge a complaint with the Italian data protection authority "
        "(www.garanteprivacy.it) or go to court.",
        "reach": "You can reach us here: {contact}. Data protection officer: {dpo}. Number of the request: {request_id}",
    },
}
assert all(words.keys() == WORDS["it"].keys() for words in WORDS.values())  # noqa: S101 - no sentence in one language alone
