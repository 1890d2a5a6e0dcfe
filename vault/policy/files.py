"""The files of a bundle: which belong to one, how they are parsed, and the digests that name them.

A template's digest covers its terms and the hash of each text, so that neither can change under people who agreed; the bundle's
digest covers every file.
"""

from collections.abc import Hashable, Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import rfc8785
import yaml

from vault.policy.lexicon import Lexicon

Json = dict[str, Any]

PATTERNS: Final = (
    *("schema.cedarschema", "catalogue.yaml", "vocabulary.yaml", "masks.yaml", "recipients.yaml", "limits.yaml"),
    *("regimes.yaml", "refusals.yaml", "onco_terms.yaml", "notices.yaml", "retention.yaml"),
    *("exemptions.txt", "templates.lock", "tests/matrix/roles.yaml", "gates/*.cedar", "roles/*.cedar"),
    *("agreements/*.v*.yaml", "texts/*.v*.??.md", "notices/*.v*.??.md", "tests/matrix/*.yaml", "plan/*.yaml"),
)
SINGLE: Final = tuple(one for one in PATTERNS if "*" not in one)
_NOT_OURS: Final = frozenset({"__init__.py"})  # policies/ is a package, so that it is found wherever it is installed


# libyaml reads a bundle in a tenth of the time, and every process begins by reading one; what the parts mean is decided by PyYAML
# alike. A build without it reads slowly.
_SAFE: Final[type[yaml.SafeLoader]] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _OneEach(_SAFE):  # type: ignore[valid-type, misc]  # one of two, both known
    """YAML in which a key may stand once: of two, the reader sees the first and the parser takes the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=deep) for key, _ in node.value]
        if len(set(keys)) < len(keys):
            raise yaml.YAMLError("a key stands twice")
        found: dict[Hashable, Any] = super().construct_mapping(node, deep=deep)
        return found


def read_files(directory: Path) -> dict[str, bytes]:
    """Return every file under the directory by its path, whether it belongs or not: the lint says what does not."""
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.name not in _NOT_OURS and "__pycache__" not in path.parts
    }


def belongs(path: str) -> bool:
    """Whether a bundle has such a file."""
    return any(fnmatchcase(path, pattern) and path.count("/") == pattern.count("/") for pattern in PATTERNS)


@lru_cache(maxsize=128)  # the lint reads the same documents for one rule after the other
def parsed(octets: bytes) -> Any:
    """Return the YAML document, to be read only. Raises ValueError for what is none, or has a key twice."""
    try:
        return yaml.load(octets.decode(), _OneEach)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError:
        raise ValueError("not YAML with each key once") from None


def policy_text(files: Mapping[str, bytes]) -> str:
    """Return all policies as one text, gates first."""
    return "\n".join(files[path].decode() for path in sorted(files) if path.endswith(".cedar"))


def template_documents(files: Mapping[str, bytes]) -> dict[str, Json]:
    """Return the templates by `id@version`, each text replaced by the hex SHA-256 of its bytes."""
    found = {}
    for path in sorted(files):
        if path.startswith("agreements/"):
            document = parsed(files[path])
            texts = {language: sha256(files[text]).hexdigest() for language, text in document["texts"].items()}
            found[f"{document['id']}@{document['version']}"] = {**document, "texts": texts}
    return found


def lexicon_of(files: Mapping[str, bytes]) -> Lexicon:
    """Return what policy can speak about under these files."""
    catalogue, vocabulary, masks, recipients = (
        parsed(files[f"{name}.yaml"]) for name in ("catalogue", "vocabulary", "masks", "recipients")
    )
    return Lexicon.of(catalogue, vocabulary, masks, recipients, template_documents(files))


def template_digest(document: Json) -> str:
    """Return `sha256:` and the hex digest of a template whose texts are hashes."""
    return "sha256:" + sha256(rfc8785.dumps(document)).hexdigest()


def bundle_digest(files: Mapping[str, bytes]) -> str:
    """Return the digest of the manifest (RFC 8785), which names every file with its hash."""
    manifest = {
        "engine": "cedar-4.12",
        "files": {path: f"sha256:{sha256(octets).hexdigest()}" for path, octets in files.items()},
        "schema": "riserbo-bundle/1",
        "subset": "1",
        "vocabulary": parsed(files["vocabulary.yaml"])["source"]["name"],
    }
    return "sha256:" + sha256(rfc8785.dumps(manifest)).hexdigest()
