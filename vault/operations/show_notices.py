"""Show the notices of the bundle, and the words of one. They concern nobody in particular, so nothing is recorded."""

from typing import Any

from vault.assembly import Vault
from vault.errors import NotFound
from vault.policy.notices import Notice, newest


def show_notices(vault: Vault) -> list[dict[str, Any]]:
    """Return every notice, by name and version."""
    return [_shown(one) for one in sorted(vault.policy.notices.values(), key=lambda one: (one.name, one.version))]


def show_notice(vault: Vault, name: str, version: int | None, language: str) -> dict[str, Any]:
    """Return a notice, the newest where no version is named, with its words. Raises NotFound `notice-not-found`."""
    found = newest(vault.policy.notices, name, version)
    if found is None or language not in found.texts:
        raise NotFound("notice-not-found")
    return {**_shown(found), "language": language, "text": vault.policy.bundle.files[found.path(language)].decode()}


def _shown(one: Notice) -> dict[str, Any]:
    texts = {language: digest.hex() for language, digest in one.texts.items()}
    return {"notice": one.name, "version": one.version, "articles": list(one.articles), "texts": texts}
