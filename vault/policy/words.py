"""Reasons in plain words, Italian and English, for the person a decision was about. Pure data; no rule rests on it."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

Words = Mapping[str, str]  # by language


def _said(italian: str, english: str) -> Words:
    return MappingProxyType({"it": italian, "en": english})


LEVELS: Final[Mapping[str, Words]] = {
    "clear": _said("dato mostrato per intero", "shown in full"),
    "masked": _said("dato mostrato solo in parte", "shown in part only"),
    "token": _said("dato sostituito da un codice senza significato", "replaced by a meaningless code"),
    "withheld": _said("dato non mostrato", "not shown"),
    "absent": _said("nessun valore presente", "no value held"),
}

REFUSED: Final[Mapping[str, Words]] = {
    "restricted": _said("il trattamento di questo dato è limitato", "processing of this datum is restricted"),
    "objected": _said("ti sei opposto a questo uso", "you objected to this use"),
    "deceased": _said("la persona è deceduta", "the person has died"),
    "consent-withdrawn": _said("hai revocato il consenso", "you withdrew your consent"),
    "agreement-expired": _said("l'accordo che lo permetteva è terminato", "the agreement that allowed it has ended"),
    "field-excluded": _said("questo dato è escluso dall'accordo", "this datum is excluded from the agreement"),
    "collected-for-other-consent": _said(
        "il dato fu raccolto con un consenso dato per altro", "the datum was collected under a consent given for something else"
    ),
    "special-category": _said(
        "è un dato particolare, per esempio sulla salute, e qui non può essere visto",
        "it is sensitive, for example about health, and may not be seen here",
    ),
    "time-barred": _said("per legge non si può più trattare questo dato", "by law this datum may no longer be processed"),
    "no-processing-agreement": _said(
        "chi chiedeva non ha un contratto valido per trattare dati", "who asked has no valid contract to process data"
    ),
    "no-transfer-tool": _said(
        "chi chiedeva si trova dove il dato non può essere trasferito", "who asked is where the datum may not be transferred"
    ),
    "purpose-not-agreed": _said("lo scopo non è tra quelli concordati con te", "the purpose is not one agreed with you"),
    "no-agreement": _said("nessun accordo con te copre questo dato", "no agreement with you covers this datum"),
    "ticket-needed": _said("serviva una tua richiesta aperta", "an open case of yours was needed"),
    "ticket-closed": _said("la richiesta indicata era già chiusa", "the case that was named was closed"),
    "ticket-of-another-person": _said(
        "la richiesta indicata riguardava un'altra persona", "the case that was named was about somebody else"
    ),
    "ticket-not-verified": _said("la richiesta indicata non era verificata", "the case that was named was not verified"),
    "ticket-not-yours": _said(
        "la richiesta indicata era affidata ad altri", "the case that was named was assigned to somebody else"
    ),
    "caller-not-verified": _said(
        "non era stato verificato che al telefono fossi tu", "it had not been verified that the caller was you"
    ),
    "reveal-needed": _said("serviva una richiesta apposita, con motivo", "a separate request with a reason was needed"),
    "channel-cap": _said("il canale usato non è abbastanza protetto", "the channel used is not protected enough"),
    "minor": _said("riguarda una persona minorenne", "it concerns a minor"),
    "level-needed": _said("serviva un accesso con identità più sicura", "a stronger proof of identity was needed"),
    "never-clear": _said("questo dato non si mostra mai per intero", "this datum is never shown in full"),
    "break-glass-approval": _said("serviva l'approvazione di un'altra persona", "the approval of another person was needed"),
    "emergency-denial": _said("l'accesso era stato sospeso per precauzione", "access had been suspended as a precaution"),
    "policy-error": _said(
        "la regola non ha dato risposta, quindi nulla è stato mostrato", "the rule gave no answer, so nothing was shown"
    ),
    "role": _said("chi chiedeva non ha un ruolo che lo permetta", "who asked has no role that allows it"),
}

ALLOWED: Final[Mapping[str, Words]] = {  # by the first word of a permission's code
    "agreed": _said("lo permette un accordo con te", "an agreement with you allows it"),
    "support": _said("serviva all'assistenza per la tua richiesta", "support needed it for your case"),
    "billing": _said("serviva all'ufficio pagamenti per la tua richiesta", "billing needed it for your case"),
    "care": _said("serviva a chi si occupa della tua cura", "those who care for you needed it"),
    "rights": _said("è un tuo diritto", "it is your right"),
    "system": _said("serviva a un sistema automatico che ti segue", "an automatic system that serves you needed it"),
    "verify": _said("serviva a verificare che fossi tu", "it was needed to verify that it was you"),
    "amend": _said("serviva a correggere i tuoi dati", "it was needed to correct your data"),
    "find": _said("serviva a trovare la tua pratica", "it was needed to find your file"),
    "break": _said("c'era un'urgenza, che altri riesamineranno", "there was an emergency, which others will review"),
    "verb": _said("serviva a gestire la tua pratica", "it was needed to handle your file"),
}


def reason(code: str) -> Words:
    """Return a reason code in words. Raises KeyError for a code of neither list."""
    return REFUSED[code] if code in REFUSED else ALLOWED[code.partition("-")[0]]


def sentence(labels: Words, level: str, code: str) -> dict[str, str]:
    """Return what happened to one field, and why, in each language."""
    why = reason(code)
    return {language: f"{labels[language]}: {LEVELS[level][language]}; {why[language]}." for language in ("it", "en")}
