"""A bundle as one file: tar, paths sorted, times and owners 0, mode 0644, so that the same files give the same bytes. Pure.

What is unpacked is held to the digest it is kept under; a file that is no file of a bundle refuses the whole.
"""

import io
import tarfile
from collections.abc import Mapping
from typing import Final

from vault.policy.files import belongs, bundle_digest

MOST_BYTES: Final = 8 * 1024 * 1024


def packed(files: Mapping[str, bytes]) -> bytes:
    """Return the archive of these files."""
    made = io.BytesIO()
    with tarfile.TarFile(fileobj=made, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path in sorted(files):
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(files[path]), 0o644
            archive.addfile(member, io.BytesIO(files[path]))
    return made.getvalue()


def unpacked(archive: bytes, digest: str) -> dict[str, bytes]:
    """Return the files of an archive. Raises ValueError for anything but a bundle of this digest, packed as here."""
    if len(archive) > MOST_BYTES:
        raise ValueError("the archive is too large")
    files = {}
    try:
        with tarfile.TarFile(fileobj=io.BytesIO(archive)) as held:
            for member in held:
                found = held.extractfile(member) if member.isreg() and belongs(member.name) else None
                if found is None:
                    raise ValueError("not an archive of a bundle")
                files[member.name] = found.read()
        if packed(files) != archive or bundle_digest(files) != digest:
            raise ValueError("the archive is not of this digest")
    except (tarfile.TarError, KeyError):
        raise ValueError("not an archive of a bundle") from None
    return files
