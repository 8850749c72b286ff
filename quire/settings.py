"""Every setting of every service, read from `QUIRE_*` variables by the composition roots and nowhere else."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from quire.crypto import KeyRing
from quire.errors import ConfigurationError

MOST_ITEMS = 1_000_000  # that a batch may be allowed to have


class ModelSettings(BaseSettings):
    """The models, which is all that some commands need to know."""

    model_config = SettingsConfigDict(env_prefix="QUIRE_", frozen=True, extra="ignore")

    # "name=folder-or-hub-id", comma-separated; the first is the default of a job without a model.
    models: Annotated[dict[str, str], NoDecode] = Field(
        default={name: f"checkpoints/{name}" for name in ("quire-english", "quire-chinese", "quire-tunes")}
    )

    @field_validator("models", mode="before")
    @classmethod
    def _parse_models(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs = [pair.partition("=") for pair in value.split(",") if pair.strip()]
        if not pairs or any(not (name.strip() and source.strip()) for name, _, source in pairs):
            raise ValueError('expected "name=folder-or-hub-id", comma-separated')
        models = {name.strip(): source.strip() for name, _, source in pairs}
        if len(models) < len(pairs):
            raise ValueError("a name stands twice")
        return models

    @property
    def default_model(self) -> str:
        return next(iter(self.models))


class DatabaseSettings(BaseSettings):
    """Where Postgres is, which is all that a migration needs to know."""

    model_config = SettingsConfigDict(env_prefix="QUIRE_", frozen=True, extra="ignore")

    database_url: SecretStr

    @property
    def sqlalchemy_url(self) -> str:
        """The database URL with the driver named, whichever of the usual spellings was given."""
        url = self.database_url.get_secret_value()
        for prefix in ("postgres://", "postgresql://"):
            if url.startswith(prefix):
                return "postgresql+psycopg://" + url.removeprefix(prefix)
        return url


class Settings(ModelSettings, DatabaseSettings):
    """What an operator may choose. Seconds and tokens unless a name says otherwise.

    Raises:
        pydantic.ValidationError: a variable is missing or outside its range; the error names it.

    """

    # Postgres is the truth; Redis carries wake-ups only.
    redis_url: SecretStr

    # The key ring for data at rest, newest first: "2026b:<base64>,2026a:<base64>", 32 bytes each.
    # There is no default: a service without a key refuses to start.
    master_keys: SecretStr
    # Opens the tenant and key routes. Unset: those routes answer 403.
    admin_token: SecretStr | None = None

    # The API.
    max_body_bytes: int = Field(default=1_000_000, ge=1_000)
    max_bulk_bytes: int = Field(default=50_000_000, ge=1_000)  # of a body with many jobs
    max_batch_bytes: int = Field(default=200_000_000, ge=1_000)  # of a file with the items of a batch
    max_batch_items: int = Field(default=50_000, ge=1, le=MOST_ITEMS)
    max_schedules: int = Field(default=1_000, ge=1)  # of a tenant
    max_webhooks: int = Field(default=20, ge=1)  # endpoints of a tenant
    max_open_batches: int = Field(default=100, ge=1)  # of a tenant, that are not over
    max_file_bytes: int = Field(default=200_000_000, ge=1_000)  # of one uploaded file
    max_stored_bytes: int = Field(default=2_000_000_000, ge=1_000)  # of all uploaded files of one tenant
    max_waiters: int = Field(default=256, ge=0)  # long polls and event streams a process holds open at once
    max_wait_seconds: float = Field(default=60.0, ge=0)
    max_stream_seconds: float = Field(default=1800.0, gt=0)  # then a reader of events has to come back
    stream_heartbeat_seconds: float = Field(default=15.0, gt=0)  # of silence, before proxies take it for the end
    idempotency_hours: int = Field(default=24, ge=1)
    bad_keys_per_minute: int = Field(default=30, ge=1)  # from one address, or of one key; then 429
    proxies: int = Field(default=0, ge=0, le=8)  # own ones in front, which tell the address by X-Forwarded-For

    # A worker.
    worker_model: str | None = None  # default: the first of `models`
    device: str = "auto"  # auto, cpu, cuda, cuda:1 …; `quire up` deals out several, comma-separated
    precision: Literal["auto", "fp32", "int8", "bf16"] = "auto"  # auto: fp32 on a CPU, bf16 on a GPU
    slots: int = Field(default=32, ge=1, le=1024)  # sequences decoded together
    kv_tokens: int | None = Field(default=None, ge=16)  # they may hold together; default: full contexts
    threads: int | None = Field(default=None, ge=1)  # CPU threads of the engine; default: all cores
    spin: int | None = Field(default=None, ge=0)  # how often a waiting thread looks again before it sleeps
    preempt_seconds: float = Field(default=2.0, gt=0)  # how often books look whether others wait for their slots
    flush_seconds: float = Field(default=1.0, gt=0)  # how often running text is committed
    lease_seconds: float = Field(default=10.0, ge=1)
    heartbeat_seconds: float = Field(default=1.0, gt=0)
    idle_look_seconds: float = Field(default=1.0, gt=0)
    drain_seconds: float = Field(default=5.0, ge=0)
    max_attempts: int = Field(default=3, ge=2)
    tune_retries: int = Field(default=3, ge=0, le=20)  # how often a tune that is not right is drawn anew
    soundfont: Path | None = None  # for the sound of tunes; default: one of the system's packages
    metrics_port: int | None = Field(default=None, ge=0, le=65535)  # worker and scheduler; unset: no listener

    # The scheduler.
    tick_seconds: float = Field(default=0.25, gt=0)
    webhook_private: bool = False  # also http and private addresses, for tests and networks of one's own
    webhook_days: int = Field(default=30, ge=1)  # events and their deliveries are kept so long
    batch_window: int = Field(default=256, ge=1, le=10_000)  # items of one batch that are jobs at once
    retention_days: int | None = Field(default=None, ge=1)  # of finished jobs; tenants may have their own

    log_level: str = "INFO"

    @field_validator("master_keys")
    @classmethod
    def _check_ring(cls, value: SecretStr) -> SecretStr:
        try:
            KeyRing.parse(value.get_secret_value())
        except ConfigurationError as error:
            raise ValueError(error.detail.removeprefix("QUIRE_MASTER_KEYS: ")) from None
        return value

    @model_validator(mode="after")
    def _heartbeat_within_lease(self) -> Self:
        if self.heartbeat_seconds * 2 > self.lease_seconds:
            raise ValueError("QUIRE_HEARTBEAT_SECONDS must be at most half of QUIRE_LEASE_SECONDS")
        return self

    @property
    def served_model(self) -> tuple[str, str]:
        """Name and source of the one model that a worker process serves."""
        name = self.worker_model or self.default_model
        if name not in self.models:
            raise ValueError(f"QUIRE_WORKER_MODEL={name} is not in QUIRE_MODELS ({', '.join(self.models)})")
        return name, self.models[name]


def load_settings() -> Settings:
    """Read the settings of this process, or end it with one line for each that is missing or wrong."""
    try:
        return Settings()
    except ValidationError as error:
        problems = [f"{_variable(problem['loc'])}: {problem['msg']}" for problem in error.errors()]
        raise SystemExit("Quire does not start:\n  " + "\n  ".join(problems)) from None


def _variable(place: tuple[int | str, ...]) -> str:
    return f"QUIRE_{place[0]}".upper() if place else "settings"


REPOSITORY = Path(__file__).resolve().parent.parent
