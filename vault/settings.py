"""What an operator sets: environment variables with the prefix RISERBO_, read once, by whoever opens the vault.

This is the only module that reads the environment. A wrong setting is named, its value never is.
"""

import json
import os
from datetime import date
from pathlib import Path

import platformdirs
from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from vault.errors import Fault, InvalidValue

ASYMMETRIC = frozenset({"RS256", "RS384", "RS512", "ES256", "ES384", "ES512"})


def _default_home() -> Path:
    """Return where an embedded vault lives: the user's data directory, or /var/lib/riserbo for root.

    PostgreSQL refuses to run as root and needs a path its own user can walk; a home directory should not be opened for that.
    """
    return Path("/var/lib/riserbo") if os.geteuid() == 0 else platformdirs.user_data_path("riserbo")


class Settings(BaseSettings):
    """The settings in force. Paths derive from `home` unless set; secrets are files, never values."""

    model_config = SettingsConfigDict(env_prefix="RISERBO_", frozen=True, extra="ignore", hide_input_in_errors=True)

    home: Path = Field(default_factory=_default_home, description="parent of data, state and keyring")
    database_url: str | None = Field(default=None, description="PostgreSQL 15 or newer; unset: the embedded server", repr=False)
    database_admin_url: str | None = Field(default=None, description="a superuser, for the first `migrate` only", repr=False)
    keyring_credential: Path | None = Field(default=None, description="file of 32 bytes that unseals the keyring")
    credentials_directory: Path | None = Field(default=None, validation_alias="CREDENTIALS_DIRECTORY")
    audit_state: Path | None = Field(default=None, description="the signer's notes: another volume than the database's")
    erasure_copy: Path | None = Field(default=None, description="the second copy of the erasure ledger: another volume again")
    installation: str = Field(default="riserbo", pattern=r"^[a-z0-9][a-z0-9.-]{0,62}$", description="name bound into every key")
    host: str = Field(default="localhost", pattern=r"^[a-z0-9][a-z0-9.-]{0,252}$", description="public name, in audit origins")
    token_issuer: str | None = Field(default=None, description="`iss` of access tokens (RFC 9068)")
    token_audience: str = Field(default="riserbo", description="`aud` of access tokens")
    token_algorithms: tuple[str, ...] = Field(default=("ES256", "RS256"), description="allowed `alg`")
    jwks_url: str | None = Field(default=None, description="the issuer's key set; https, or http on loopback")
    unbound_systems: bool = Field(default=False, description="demo only: a system's token needs no key of its own")
    public_checkpoints: bool = Field(default=True, description="serve each log's checkpoint to anybody, as C2SP's checkers ask")
    lanes: int = Field(default=2, ge=1, le=16, description="lanes in each process that show, and that record")
    key_lifetime_s: float = Field(default=300.0, gt=0, le=300, description="how long a controller key may stay in memory")
    epoch_days: int = Field(default=7, ge=1, le=366, description="after how many days each controller gets a new key")
    key_export_days: int = Field(default=14, ge=1, le=366, description="for how long exports of keys are kept")
    physical_backup_days: int = Field(
        default=14, ge=0, le=3660, description="for how long physical backups and archived WAL are kept"
    )
    key_exports: Path | None = Field(default=None, description="where exports of keys go; unset: a directory of the home")
    processing_records: Path | None = Field(
        default=None, description="where records of processing are written when they change; unset: a directory of the home"
    )
    patron_days: dict[str, str] = Field(default_factory=dict, description="MM-DD of a patron saint, for controllers that keep it")
    mail_url: str | None = Field(default=None, description="relay of letters: smtps, smtp+starttls; smtp on loopback")
    mail_from: str | None = Field(default=None, description="the address letters are sent from")
    mail_credentials: Path | None = Field(default=None, description="file of two lines: user and password of the relay")
    erasure_grace_hours: int = Field(
        default=24,
        ge=0,
        le=168,
        description="how long an erasure asked for in the portal can be taken back before it is carried out",
    )
    banks: tuple[str, ...] = Field(default=(), description="controllers that must keep the register of accesses of a bank")
    policies: Path | None = Field(default=None, description="directory of the policy bundle; unset: the one shipped")
    policy_keys: Path | None = Field(default=None, description="file of the public keys of those who decide policy")
    witnesses: Path | None = Field(default=None, description="file of the public keys of witnesses")
    checkpoint_webhook: str | None = Field(default=None, description="where each checkpoint is posted; https, or http on loopback")
    allow_unsafe_database: bool = Field(default=False, description="tests only: serve with fsync off")

    @field_validator("token_algorithms")
    @classmethod
    def _asymmetric(cls, algorithms: tuple[str, ...]) -> tuple[str, ...]:
        if not algorithms or not set(algorithms) <= ASYMMETRIC:
            raise ValueError("only RS* and ES* algorithms")
        return algorithms

    @field_validator("patron_days")
    @classmethod
    def _days(cls, days: dict[str, str]) -> dict[str, str]:
        for one in days.values():
            date.fromisoformat(f"2024-{one}")
        return days

    @property
    def missing(self) -> tuple[str, ...]:
        """The variables that are unset and without which nothing can be served."""
        return tuple(variable(name) for name in ("token_issuer", "jwks_url") if getattr(self, name) is None)

    @property
    def data(self) -> Path:
        """The embedded server's data directory."""
        return self.home / "data"

    @property
    def keyring(self) -> Path:
        """The directory of the file keyring."""
        return self.home / "keyring"

    @property
    def state(self) -> Path:
        """Signer's notes, checkpoints.log and reports: never on the database's volume in production."""
        return self.audit_state or self.home / "state"

    @property
    def records_of_processing(self) -> Path:
        """The directory of the records of processing: they name nobody."""
        return self.processing_records or self.home / "processing-records"

    @property
    def exports_of_keys(self) -> Path:
        """The directory of key exports: never in a backup that is kept for longer than they are."""
        return self.key_exports or self.home / "key-exports"

    @property
    def erasure_ledgers(self) -> tuple[Path, Path]:
        """The directories of the erasure ledger's copies: neither may come back with the database."""
        return self.state / "erasures", self.erasure_copy or self.home / "erasures"

    @property
    def publishers(self) -> Path:
        """The directory with one file for each controller: what receipts say of it."""
        return self.home / "controllers"

    @property
    def approvers(self) -> Path:
        """The file with the public keys of those who decide policy: `<policy|dpo> <person> <key>` on each line."""
        return self.policy_keys or self.home / "policy.keys"

    @property
    def witness_keys(self) -> Path:
        """The file with the public keys of those whose signatures of checkpoints count, one on each line."""
        return self.witnesses or self.home / "witnesses.keys"

    @property
    def credential(self) -> Path:
        """The file that unseals the keyring: systemd's credential when there is one (first)."""
        if self.credentials_directory is not None:
            return self.credentials_directory / "riserbo-keyring"
        return self.keyring_credential or self.home / "keyring.credential"


def variable(name: str) -> str:
    """Return the environment variable of a setting."""
    return str(Settings.model_fields[name].validation_alias or f"RISERBO_{name.upper()}")


def read_settings(**overrides: object) -> Settings:
    """Return the settings of this process. Raises InvalidValue naming each wrong variable, never its value."""
    try:
        return Settings(**overrides)  # type: ignore[arg-type]  # pydantic checks them
    except ValidationError as error:
        faults = [Fault("RISERBO_" + "_".join(str(part) for part in one["loc"]).upper(), one["type"]) for one in error.errors()]
        raise InvalidValue("invalid-setting", faults=faults) from None


def environment_with(settings: Settings) -> dict[str, str]:
    """Return this process's environment with these settings in it, for a child process that serves the same vault."""
    stated = settings.model_dump(exclude_none=True, exclude={"credentials_directory"})
    ours = {f"RISERBO_{name.upper()}": _spelt(value) for name, value in stated.items()}
    return {**os.environ, **ours}  # noqa: TID251 - this is the module that reads it


def _spelt(value: object) -> str:
    return json.dumps(value) if isinstance(value, list | tuple | bool | dict) else str(value)
