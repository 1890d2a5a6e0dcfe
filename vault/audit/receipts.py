r"""Receipts of entries: a signed promise, given with an answer, that its entry will be in the log within 60 seconds.

`v1.<at>.<leaf hash>.<signature>`: `at` in ms since 1970, hash and Ed25519 signature in base64url, over
`riserbo.receipt.v1\n<origin>\n<leaf hash>\n<at>\n`. Signed by a key of its own, so that who answers needs no right on that of
checkpoints. It is what shows that the entries of a moment were there when somebody deletes them before they were ever signed. Pure.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from vault.audit.merkle import leaf_hash
from vault.audit.scan import Findings
from vault.notes import holds
from vault.octets import b64u, b64u_decode

PROMISED_MS = 60_000
_TEXT = re.compile(r"v1\.(?P<at>0|[1-9][0-9]{0,15})\.(?P<hash>[\w-]{43})\.(?P<signature>[\w-]{86})", re.ASCII)  # 32 and 64 bytes


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receipt as its holder has it: nothing is verified yet, nor does it say of which log it is."""

    at_ms: int
    leaf_hash: bytes
    signature: bytes

    @property
    def text(self) -> str:
        """The value of `Audit-Receipt`."""
        return f"v1.{self.at_ms}.{b64u(self.leaf_hash)}.{b64u(self.signature)}"


def receipt_message(origin: str, hashed: bytes, at_ms: int) -> bytes:
    """Return what is signed."""
    return f"riserbo.receipt.v1\n{origin}\n{b64u(hashed)}\n{at_ms}\n".encode()


def parse_receipt(text: str) -> Receipt:
    """Return a receipt as parsed. Raises ValueError for every irregularity."""
    found = _TEXT.fullmatch(text)
    if found is None:
        raise ValueError("not a receipt")
    return Receipt(int(found["at"]), b64u_decode(found["hash"]), b64u_decode(found["signature"]))


def given_for(receipt: Receipt, origin: str, public: bytes) -> bool:
    """Return whether it is a promise of this log's, made with this key."""
    return holds(public, receipt.signature, receipt_message(origin, receipt.leaf_hash, receipt.at_ms))


@dataclass(slots=True)
class Promises:
    """Receipts somebody holds, while the log they were given for is read (check P)."""

    origins: Sequence[str]  # of its eras
    public: bytes
    now_ms: int
    findings: Findings = field(default_factory=Findings)
    waiting: dict[bytes, int] = field(default_factory=dict)  # leaf hash -> when it was promised
    began_ms: int = 0  # of the oldest entry that is kept, where older ones were archived

    def hold(self, texts: Iterable[str]) -> "Promises":
        """Take the receipts; one that is none of this log's is a finding."""
        for text in texts:
            try:
                receipt = parse_receipt(text)
            except ValueError:
                self.findings.add("receipt-signature", "not a receipt")
                continue
            if any(given_for(receipt, one, self.public) for one in self.origins):
                self.waiting[receipt.leaf_hash] = receipt.at_ms
            else:
                self.findings.add("receipt-signature", "a receipt is not signed for this log")
        return self

    def meet(self, leaf: bytes) -> None:
        """Take an entry of the log."""
        if self.waiting:
            self.waiting.pop(leaf_hash(leaf), None)

    def judge(self) -> bool:
        """Find, at the end of the log, the entries that were promised and are not there.

        False when one cannot be judged: it may still come, or was archived.
        """
        due = [at_ms for at_ms in self.waiting.values() if self.began_ms <= at_ms <= self.now_ms - PROMISED_MS]
        if due:
            self.findings.add("receipt", f"{len(due)} promised entries are not in the log")
        return len(due) == len(self.waiting)
