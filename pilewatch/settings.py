"""Settings: one TOML file (named by PILEWATCH_CONFIG) overridden by PILEWATCH_* variables.

`PILEWATCH_DATABASE__URL` sets `[database] url`. Unknown keys and wrong values are refused with
the place and what would be right; secrets may be given as `…_FILE` paths.
"""

import os
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    IPvAnyNetwork,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from pilewatch.pilecode import Keys, read_keys
from pilewatch.sealing import Seal, check_keys


class BadSettings(ValueError):
    """The settings cannot be used; `str()` names each wrong key, its place and the reason."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Database(_Section):
    """PostgreSQL. `timescale`: auto uses it where the server has it."""

    url: SecretStr = SecretStr("postgresql://pilewatch@localhost/pilewatch")
    pool_size: int = Field(default=8, ge=1, le=200)
    timescale: Literal["auto", "require", "off"] = "auto"
    retention_days: int = Field(default=90, ge=1)
    columnstore_days: int = Field(default=7, ge=1)


class Mqtt(_Section):
    """The broker. `version` 5 uses shared subscriptions and a receive maximum of our own."""

    host: str = "localhost"
    port: int = Field(default=1883, ge=1, le=65535)
    version: Literal["3.1.1", "5"] = "5"
    username: str | None = None
    password: SecretStr | None = None
    client_id: str | None = None
    tls: bool = False
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    keepalive_s: int = Field(default=30, ge=5, le=600)
    share_group: str | None = None


class Ingest(_Section):
    """How observations are batched (docs/operations.md), and which dialects are spoken beside the
    native contract (docs/dialects/README.md): `dialects` all that are built in unless named,
    `bases` where a dialect's chargers publish, `mappings` files that teach further makes,
    `charging_w` above which a metering plug charges, `connector_numbers` of EVerest's names."""

    batch_rows: int = Field(default=5000, ge=1, le=50000)
    batch_ms: int = Field(default=20, ge=0, le=5000)
    unacknowledged: int = Field(default=8000, ge=1, le=60000)
    quarantine_rows: int = Field(default=10000, ge=1)
    quarantine_days: int = Field(default=30, ge=1)
    dialects: tuple[str, ...] | None = None
    bases: dict[str, tuple[str, ...]] = {}
    mappings: tuple[Path, ...] = ()
    charging_w: float = Field(default=5.0, gt=0, le=10_000)
    connector_numbers: dict[str, Annotated[int, Field(ge=1, le=999)]] = {}


class Ebike(_Section):
    """The gateway and the tap of e-bike cabinets, see docs/dialects/ebike-dny.md. A modem that says
    nothing for `idle_s` is gone; what it sends itself after 30 s of silence counts. `heartbeat_s`
    is what devices are set to; an alarm that is never repeated counts for `alarm_hours`."""

    host: str = "0.0.0.0"  # noqa: S104
    port: int = Field(default=7054, ge=0, le=65535)
    max_connections: int = Field(default=6000, ge=1)
    idle_s: float = Field(default=120, gt=0, le=86400)
    heartbeat_s: int = Field(default=180, ge=1, le=86400)
    alarm_hours: float = Field(default=24, gt=0, le=8760)
    settlement_days: int = Field(default=30, ge=1)


class Alerts(_Section):
    """The engine and the outbox. `notify_file` names who is told, see docs/notifications.md;
    without it and `webhook_url` notifications are only logged. What people subscribe by the API
    may reach addresses of this network only where `private_webhooks` is set."""

    policy_file: Path | None = None
    notify_file: Path | None = None
    tick_s: float = Field(default=1.0, gt=0, le=60)
    webhook_url: str | None = None
    webhook_secret: SecretStr | None = None
    private_webhooks: bool = False


class Api(_Section):
    """HTTP. `public_url` is what QR codes and notifications point at.

    Only `trusted_proxies` (addresses or networks) are believed about `X-Forwarded-For`;
    `max_streams` bounds the live streams of one process. Requests to programs' addresses are
    counted by the minute and in each process; 0: not at all.
    """

    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    public_url: str = "http://127.0.0.1:8080"
    secure_cookies: bool = False
    session_hours: int = Field(default=12, ge=1)
    max_streams: int = Field(default=500, ge=1)
    trusted_proxies: tuple[IPvAnyNetwork, ...] = ()
    requests_per_address: int = Field(default=3000, ge=0)
    requests_per_key: int = Field(default=6000, ge=0)

    @property
    def behind_tls(self) -> bool:
        """Whether browsers come over TLS, so that cookies may go nowhere else."""
        return self.secure_cookies or self.public_url.startswith("https://")


class Ocpp(_Section):
    """The OCPP gateway; see docs/dialects/ocpp.md. `auth` none is for a closed network only.

    `unknown` says what becomes of an id that is not registered and has no password: `quarantine`
    lets it in, and shows it to the operator. `authorize` list takes the cards of `id_tags_file`,
    one a line. A call is answered when the broker has what it says, or refused after `answer_s`.
    """

    host: str = "127.0.0.1"
    port: int = Field(default=9000, ge=0, le=65535)
    cert_file: Path | None = None
    key_file: Path | None = None
    auth: Literal["basic", "none"] = "basic"
    unknown: Literal["refuse", "quarantine"] = "refuse"
    authorize: Literal["all", "list", "none"] = "all"
    id_tags_file: Path | None = None
    max_connections: int = Field(default=10_000, ge=1)
    heartbeat_s: int = Field(default=60, ge=5, le=86400)
    ping_s: int = Field(default=30, ge=1, le=3600)
    answer_s: float = Field(default=5.0, gt=0, le=60)
    command_s: float = Field(default=30.0, gt=0, le=300)
    settle_s: float = Field(default=3.0, ge=0, le=60)


class Ocpi(_Section):
    """Who we are to other parties, by the registers of OCPI; `country` is ISO 3166-1 alpha-3,
    `name` what people call us."""

    country_code: str = Field(default="CN", pattern="^[A-Z]{2}$")
    country: str = Field(default="CHN", pattern="^[A-Z]{3}$")
    party_id: str = Field(default="PLW", pattern="^[A-Z0-9]{3}$")
    name: str = Field(default="Pilewatch", min_length=1, max_length=100)


class Open311(_Section):
    """`jurisdiction_id` is the host name of the authority; another one is refused with 404."""

    jurisdiction_id: str = "pilewatch"


_TILES = re.compile(r"(https?://[A-Za-z0-9.-]+(?::[0-9]{1,5})?)(/[!-~]*)")
_TILE_WORDS = frozenset({"{z}", "{x}", "{y}"})
Degrees = Annotated[float, Field(ge=-180, le=180)]


class Map(_Section):
    """What lies under the operator's map, see docs/console.md; without any it is drawn from the
    registry alone. Tiles come from one host, which alone the page's policy lets in. `datum` is
    that of the tiles; `plan_bounds` of the picture are south, west, north, east in WGS 84."""

    tile_url: str | None = None
    tile_attribution: str = Field(default="", max_length=200)
    tile_attribution_url: str | None = Field(default=None, pattern=r"^https?://[!-~]+$")
    tile_zoom: int = Field(default=19, ge=1, le=24)
    datum: Literal["wgs84", "gcj02"] = "wgs84"
    plan_file: Path | None = None
    plan_bounds: tuple[Degrees, Degrees, Degrees, Degrees] | None = None

    @field_validator("tile_url")
    @classmethod
    def _template(cls, url: str | None) -> str | None:
        if url is None:
            return None
        if _TILES.fullmatch(url) is None:
            raise ValueError("begins with https:// or http:// and one plain host name, then a path")
        words = re.findall(r"\{[^}]*\}?|\}", url)
        if set(words) != _TILE_WORDS:
            raise ValueError("has {z}, {x} and {y} in its path, and nothing else in braces")
        return url

    @model_validator(mode="after")
    def _plan_lies_somewhere(self) -> "Map":
        if (self.plan_file is None) != (self.plan_bounds is None):
            raise ValueError("plan_file and plan_bounds are given together")
        if self.plan_bounds is not None:
            south, west, north, east = self.plan_bounds
            if not (-90 <= south < north <= 90 and west < east):
                raise ValueError("plan_bounds: south, west, north, east, in degrees")
        return self

    @property
    def tile_origin(self) -> str | None:
        """Scheme, host and port that tiles come from."""
        found = _TILES.fullmatch(self.tile_url or "")
        return None if found is None else found[1].lower()


Role = Literal["grid_worker", "repairer", "operator", "admin", "auditor"]


class People(_Section):
    """How staff log in. `totp_roles` must have a second factor. The organisation's own login
    (OpenID Connect) is offered where `oidc_issuer` names it. See docs/people.md.
    """

    totp_roles: frozenset[Role] = frozenset()
    oidc_issuer: str | None = Field(
        default=None, pattern=r"^(https://|http://(127\.0\.0\.1|localhost)[:/])[^?#]+$"
    )
    oidc_client_id: str = "pilewatch"
    oidc_client_secret: SecretStr | None = None
    oidc_link_by_email: bool = False


class Sealing(_Section):
    """What seals secrets in the database (residents' contacts, second factors, what signs
    webhooks, tokens of OCPI): Fernet keys separated by spaces. The first seals, all are read.
    Without any, no contact is asked for, and the others are kept open."""

    keys: SecretStr | None = None

    @field_validator("keys")
    @classmethod
    def _fernet_keys(cls, keys: SecretStr | None) -> SecretStr | None:
        if keys is not None:
            check_keys(keys.get_secret_value().split())
        return keys

    def seal(self) -> Seal:
        """The seal of these keys."""
        return Seal() if self.keys is None else Seal(self.keys.get_secret_value().split())


class Posters(_Section):
    """What signs the QR codes on the piles: lines of `ID SECRET`. The first signs, all are
    believed; without any, no code can show that somebody stood there."""

    keys: SecretStr | None = None

    @field_validator("keys")
    @classmethod
    def _readable(cls, keys: SecretStr | None) -> SecretStr | None:
        if keys is not None:
            read_keys(keys.get_secret_value())
        return keys

    def keyring(self) -> Keys:
        """The keys, the signing one first."""
        return () if self.keys is None else read_keys(self.keys.get_secret_value())


class Metrics(_Section):
    """Prometheus port of ingest and alerts (the API serves its own at /metrics); 0: none."""

    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65535)


class Settings(BaseSettings):
    """Everything that an installation decides."""

    model_config = SettingsConfigDict(
        env_prefix="PILEWATCH_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    database: Database = Database()
    mqtt: Mqtt = Mqtt()
    ingest: Ingest = Ingest()
    ebike: Ebike = Ebike()
    alerts: Alerts = Alerts()
    api: Api = Api()
    sealing: Sealing = Sealing()
    posters: Posters = Posters()
    people: People = People()
    metrics: Metrics = Metrics()
    ocpp: Ocpp = Ocpp()
    ocpi: Ocpi = Ocpi()
    open311: Open311 = Open311()
    map: Map = Map()
    log_format: Literal["json", "text"] = "text"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment over file over defaults."""
        path = os.environ.get("PILEWATCH_CONFIG")
        file = (TomlConfigSettingsSource(settings_cls, Path(path)),) if path else ()
        return (init_settings, env_settings, *file)


_SECRETS = {
    "PILEWATCH_DATABASE__URL",
    "PILEWATCH_MQTT__PASSWORD",
    "PILEWATCH_ALERTS__WEBHOOK_SECRET",
    "PILEWATCH_SEALING__KEYS",
    "PILEWATCH_POSTERS__KEYS",
    "PILEWATCH_PEOPLE__OIDC_CLIENT_SECRET",
}
_SEALED_BEFORE = ("PILEWATCH_RESIDENTS__CONTACT_KEYS", "PILEWATCH_PEOPLE__TOTP_KEYS")
"""Former names of keys: what they have sealed would be lost without a word."""


def load_settings() -> Settings:
    """Read and check the settings of this process. Raises `BadSettings`."""
    config = os.environ.get("PILEWATCH_CONFIG")
    if config and not Path(config).is_file():
        raise BadSettings(f"PILEWATCH_CONFIG names {config}, which is no file")
    for name in _SEALED_BEFORE:
        if name in os.environ or f"{name}_FILE" in os.environ:
            raise BadSettings(f"{name}: is PILEWATCH_SEALING__KEYS now, with all keys in one line")
    for name in _SECRETS:
        # Taken out: what names the file is no setting by itself.
        if path := os.environ.pop(f"{name}_FILE", None):
            try:
                os.environ[name] = Path(path).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise BadSettings(f"{name}_FILE: {error}") from error
    try:
        return Settings()
    except ValidationError as error:
        raise BadSettings(
            "\n".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        ) from error
    except ValueError as error:  # TOML syntax
        raise BadSettings(f"{config or 'environment'}: {error}") from error
