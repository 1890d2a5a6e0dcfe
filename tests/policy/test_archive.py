"""A bundle as one file: the same bytes each time, and nothing but a bundle of the digest it is kept under comes out again."""

import io
import tarfile
from collections.abc import Callable

import pytest

from tests.policy.makers import bundle
from vault.policy.archive import MOST_BYTES, packed, unpacked
from vault.policy.bundle import kept_bundle

FILES, DIGEST = bundle().files, bundle().digest


def archived(alter: Callable[[tarfile.TarInfo], None], path: str = "limits.yaml") -> bytes:
    """Return the archive with one member's header changed."""
    made = io.BytesIO()
    with tarfile.TarFile(fileobj=made, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(FILES):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(FILES[name]), 0o644
            if name == path:
                alter(member)
            archive.addfile(member, io.BytesIO(FILES[name]))
    return made.getvalue()


def test_what_is_packed_comes_out_the_same_whatever_the_order() -> None:
    archive = packed(FILES)
    assert packed({path: FILES[path] for path in sorted(FILES, reverse=True)}) == archive
    assert unpacked(archive, DIGEST) == FILES
    assert kept_bundle(archive, DIGEST).policies == bundle().policies


@pytest.mark.parametrize(
    "alter",
    [
        lambda member: setattr(member, "name", "../limits.yaml"),
        lambda member: setattr(member, "name", "roles/t1.sh"),
        lambda member: setattr(member, "type", tarfile.SYMTYPE),
        lambda member: setattr(member, "mode", 0o755),
        lambda member: setattr(member, "mtime", 1),
        lambda member: setattr(member, "uname", "root"),
    ],
)
def test_another_member_is_refused(alter: Callable[[tarfile.TarInfo], None]) -> None:
    assert archived(lambda _: None) == packed(FILES)
    with pytest.raises(ValueError):
        unpacked(archived(alter), DIGEST)


@pytest.mark.parametrize(
    "archive",
    [
        b"",
        b"not a tar",
        packed({**FILES, "limits.yaml": FILES["limits.yaml"] + b"# more\n"}),
        packed({"limits.yaml": FILES["limits.yaml"]}),
        bytes(MOST_BYTES + 1),
    ],
    ids=["empty", "noise", "altered", "incomplete", "large"],
)
def test_what_is_no_archive_of_this_digest_is_refused(archive: bytes) -> None:
    with pytest.raises(ValueError):
        unpacked(archive, DIGEST)
