"""The bundle: everything policy rests on, read once, refused as a whole if anything in it is wrong."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files as resources
from pathlib import Path
from typing import Any

from vault.policy import files as bundle_files
from vault.policy.archive import unpacked
from vault.policy.cedar import compiled, distinctions, families
from vault.policy.groups import field_groups
from vault.policy.lexicon import Lexicon
from vault.policy.lint import faults
from vault.policy.notices import Notice, notices_of
from vault.policy.onco import OncoTerms, onco_terms_of
from vault.policy.periods import Period, periods_of
from vault.policy.refusing import Refusal, refusals_of
from vault.policy.regimes import Regime, regimes_of
from vault.policy.retention import BEFORE, Keeping, keeping_of

Json = dict[str, Any]


@dataclass(frozen=True)
class Bundle:
    """A sound bundle. Documents are parsed YAML, to be read only; in `templates` each text is the hex SHA-256 of its bytes."""

    files: Mapping[str, bytes]
    digest: str  # sha256:<hex>
    catalogue: Json
    vocabulary: Json
    masks: Json
    recipients: Json
    limits: Json
    templates: Mapping[str, Json]  # by id@version
    policies: Mapping[str, Json]  # Cedar's JSON form, by @id
    schema: str

    @cached_property
    def lexicon(self) -> Lexicon:
        """What policy can speak about."""
        return bundle_files.lexicon_of(self.files)

    @cached_property
    def groups(self) -> Mapping[str, tuple[tuple[int, ...], ...]]:
        """For each kind of request, the positions of fields that its policies do not tell apart."""
        return {
            name: field_groups(self.lexicon, distinctions(some), law=name == "law")
            for name, some in families(self.policies).items()
        }

    @cached_property
    def regimes(self) -> tuple[Regime, ...]:
        """What the law gives how long for; none in a bundle from before there were any."""
        held = self.files.get("regimes.yaml")
        return regimes_of(bundle_files.parsed(held)) if held is not None else ()

    @cached_property
    def periods(self) -> tuple[Period, ...]:
        """By when requests are answered; none in a bundle from before there were any."""
        held = self.files.get("regimes.yaml")
        return periods_of(bundle_files.parsed(held)) if held is not None else ()

    @cached_property
    def refusals(self) -> Mapping[str, Refusal]:
        """Why a request is not met, by code; none in a bundle from before there were any."""
        held = self.files.get("refusals.yaml")
        return refusals_of(bundle_files.parsed(held)) if held is not None else {}

    @cached_property
    def onco_terms(self) -> OncoTerms | None:
        """From when a cancer of long ago is barred; None in a bundle from before that was said."""
        held = self.files.get("onco_terms.yaml")
        return onco_terms_of(bundle_files.parsed(held)) if held is not None else None

    @cached_property
    def notices(self) -> Mapping[str, Notice]:
        """What people are told, by `name@version`; none in a bundle from before there were any."""
        held = self.files.get("notices.yaml")
        return notices_of(bundle_files.parsed(held)) if held is not None else {}

    @cached_property
    def keeping(self) -> Mapping[str, Keeping]:
        """How long the house keeps its own records; what held before, in a bundle that does not say."""
        held = self.files.get("retention.yaml")
        return keeping_of(bundle_files.parsed(held)) if held is not None else BEFORE

    @property
    def matrix(self) -> Json:
        """The table of roles: the contexts policy was made for, and what each is to see."""
        document: Json = bundle_files.parsed(self.files["tests/matrix/roles.yaml"])
        return document

    def text(self, reference: str, language: str) -> str:
        """Return the words people agree to. Raises KeyError for a template or language there is not."""
        if language not in self.templates[reference]["texts"]:
            raise KeyError(language)
        return self.files[f"texts/{reference.replace('@', '.v')}.{language}.md"].decode()


def shipped() -> Path:
    """Return where the policies that came with this program are."""
    return Path(str(resources("policies")))


def load_bundle(directory: Path | None = None) -> Bundle:
    """Return the bundle of a directory, by default the shipped one. Raises ValueError with every fault the lint finds."""
    files = bundle_files.read_files(directory or shipped())
    found = faults(files)
    if found:
        raise ValueError("\n".join(found))
    return parsed_bundle(files)


def kept_bundle(archive: bytes, digest: str) -> Bundle:
    """Return a bundle out of its archive, unlinted: it was sound by the lint of its day. Raises ValueError for another digest."""
    return parsed_bundle(unpacked(archive, digest))


def parsed_bundle(files: Mapping[str, bytes]) -> Bundle:
    """Return the bundle of files in which the lint found nothing, now or when they came into force."""
    catalogue, vocabulary, masks, recipients, limits = (
        bundle_files.parsed(files[f"{name}.yaml"]) for name in ("catalogue", "vocabulary", "masks", "recipients", "limits")
    )
    return Bundle(
        files=files,
        digest=bundle_files.bundle_digest(files),
        catalogue=catalogue,
        vocabulary=vocabulary,
        masks=masks,
        recipients=recipients,
        limits=limits,
        templates=bundle_files.template_documents(files),
        policies=compiled(bundle_files.policy_text(files)),
        schema=files["schema.cedarschema"].decode(),
    )
