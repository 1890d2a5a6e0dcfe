"""The bundle of the last release, kept beside the tests: what the shipped one is planned against.

`python -m tests.policy.released` writes it anew from the shipped one. To be run at a release, after the acceptances were reviewed,
and never to make the suite pass: `make policy-released` is its name in a review.
"""

import sys
import tarfile
from functools import cache
from pathlib import Path

from vault.policy.archive import packed, unpacked
from vault.policy.bundle import Bundle, load_bundle, parsed_bundle
from vault.policy.files import bundle_digest

ARCHIVE = Path(__file__).parent / "released.tar"


@cache
def released() -> Bundle:
    """Return it, unlinted: it was sound by the lint of its day."""
    with tarfile.open(ARCHIVE) as held:
        files = {member.name: file.read() for member in held if (file := held.extractfile(member)) is not None}
    return parsed_bundle(unpacked(ARCHIVE.read_bytes(), bundle_digest(files)))


if __name__ == "__main__":
    ARCHIVE.write_bytes(packed(load_bundle().files))
    sys.stdout.write(f"{ARCHIVE.name}: {load_bundle().digest}\n")
