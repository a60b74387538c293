"""What a gateway may be told, in one YAML file.

    listen: {host: 192.0.2.10, port: 8443, tls: {certificate: tls/gateway.pem, key: tls/gateway.key}}
    engines:
      - {name: on-the-gpu, serves: medical-qa, kind: openai, url: http://127.0.0.1:8000, model: medical-qa}
      - {name: on-this-machine, serves: medical-qa, kind: embedded, release: runs/medical-qa/release}
    practice: practices/wattle-street.yaml

Paths start at the file's folder. `bedside gateway schema` prints the JSON Schema, for editors.
"""

from __future__ import annotations

import ipaddress
import json
import os
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from bedside.errors import BedsideError
from bedside.recipe.yaml_model import Place, read_model
from bedside.workspace.files import written_whole

NOTICE = "Not a medical device. Not for clinical use without validation."
EXAMPLE = "docs/gateway.yaml"
EXAMPLE_PRACTICE = "practices/wattle-street.yaml"
STATE = "gateway-state"

_NAME = r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,79}$"
_PATHS = (
    "state",
    "practice",
    "protocol",
    "listen.tls.certificate",
    "listen.tls.key",
    "engines.release",
    "integrity.public_key",
    "answers.index",
    "phone.data",
)
"""Keys that hold a path; `engines` is a list."""


class SettingsError(BedsideError):
    """The gateway's settings cannot be used."""


def _header_value(text: str) -> str:
    if not (text.isascii() and text.isprintable()):
        raise ValueError("holds characters that no HTTP header may hold")
    return text


def _host_name(text: str) -> str:
    if not text or any(letter.isspace() or letter in "/@" for letter in text):
        raise ValueError("is no host name such as gateway.example.org")
    return text.lower()


Name = Annotated[str, Field(pattern=_NAME)]
Host = Annotated[str, AfterValidator(_host_name)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class TlsSettings(_Part):
    """The certificate that the gateway shows; TLS 1.3 is the only version spoken."""

    certificate: Path
    """PEM file of the certificate and those between it and its authority; `bedside tls issue` writes one."""
    key: Path
    """PEM file of its private key."""


class ListenSettings(_Part):
    """Where the gateway listens."""

    host: str = "127.0.0.1"
    """Address; the default is reached from this machine only."""
    port: int = Field(default=8080, ge=0, le=65535)
    """Port; 0 takes a free one."""
    tls: TlsSettings | None = None
    """Certificate and key; none: plain HTTP, which only this machine or a proxy named below may speak to it."""
    hosts: tuple[Host, ...] = ()
    """Names by which clients reach it, beside its address and localhost; a request for another host is refused."""
    proxies: tuple[str, ...] = ()
    """Addresses of reverse proxies that end TLS before the gateway; their `X-Forwarded-For` is believed."""

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the address."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


class EngineSettings(_Part):
    """One model that runs here or elsewhere; engines that serve one model stand in for each other, in the order of the list."""

    name: Name
    """The engine's own name, in `/ready`, metrics and the audit log."""
    serves: Name | None = None
    """The model that clients ask for; the engine's name by default."""
    kind: Literal["embedded", "openai"] = "embedded"
    """`embedded` runs a release with llama.cpp in the gateway; `openai` asks any OpenAI-compatible server."""
    release: Path | None = None
    """Release folder. For `openai`: the release whose model that server runs; without it messages are not counted beforehand and it does not understand callers."""
    url: str | None = None
    """Root of the server, with or without `/v1`; of Azure AI Foundry, `https://NAME.openai.azure.com/openai`."""
    model: str | None = None
    """The model's name on that server (of Azure, the deployment)."""
    embedding_model: str | None = None
    """Name of that server's model for `/v1/embeddings`; none: it has none."""
    api_key_env: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """Variable of the environment that holds the server's key."""
    api_key_header: Literal["authorization", "api-key"] = "authorization"
    """`authorization` sends the key as a bearer token; `api-key` is Azure's header."""
    api_version: Annotated[str, AfterValidator(_header_value)] | None = None
    """Sent as `?api-version=` with each request, as Azure asks."""
    timeout_seconds: float = Field(default=120, gt=0, le=3600)
    """A call that is silent for so long is given up."""
    parallel: int = Field(default=1, ge=1, le=256)
    """Calls at a time."""
    waiting: int = Field(default=32, ge=0, le=10_000)
    """Requests that may wait for a call; one more is refused with 429."""
    threads: int | None = Field(default=None, ge=1, le=1024)
    """Processor threads of an embedded engine; all cores by default."""
    context_tokens: int = Field(default=8192, ge=256)
    """Tokens of messages and answer that a server without a `release` takes."""

    @model_validator(mode="after")
    def _fits_its_kind(self) -> EngineSettings:
        if self.kind == "embedded" and self.release is None:
            raise ValueError("an embedded engine needs `release`")
        if self.kind == "embedded" and (self.url or self.model or self.embedding_model or self.api_key_env or self.api_version):
            raise ValueError(
                "an embedded engine takes no url, model, embedding_model, api_key_env or api_version; did you mean kind: openai?"
            )
        if self.kind == "openai" and not (self.url and self.model):
            raise ValueError("an openai engine needs `url` and `model`")
        return self

    @property
    def serves_model(self) -> str:
        """The model that clients ask for."""
        return self.serves or self.name


class ScopeSettings(_Part):
    """What the assistant is for, as the practice words it."""

    name: str = Field(default="bedside", min_length=1, max_length=80)
    """What pages call the assistant."""
    disclaimer: str = Field(default=NOTICE, min_length=1, max_length=500)
    """Goes out with every answer."""
    instructions: str | None = Field(default=None, min_length=1, max_length=4000)
    """System message put before every chat, such as what may be asked; it steers the model, and the rules guard it all the same."""


class SecuritySettings(_Part):
    """Who may ask."""

    require_keys: bool = True
    """Refuse API requests without a key; `bedside keys create` makes one."""
    console: bool = True
    """Serve the console under `/console`."""
    login_attempts: int = Field(default=5, ge=1, le=100)
    """Wrong passwords in a row that cost nothing; from the next on there is a wait, longer with each."""
    login_lock_minutes: int = Field(default=15, ge=1, le=1440)
    """The longest wait."""
    session_idle_minutes: int = Field(default=30, ge=1, le=1440)
    """A console session ends after so long without a request."""
    session_hours: int = Field(default=10, ge=1, le=168)
    """And in any case after so long."""
    keyless_rate_per_minute: int = Field(default=60_000, ge=1)
    """Requests a minute that one address may send without a key, where keys are not required."""


class LimitSettings(_Part):
    """What one client may take up."""

    max_body_bytes: int = Field(default=1_000_000, ge=1024, le=100_000_000)
    """A longer request body is refused with 413."""
    body_seconds: float = Field(default=20, gt=0, le=600)
    """A body that takes longer to arrive is refused with 408."""
    header_seconds: float = Field(default=10, gt=0, le=600)
    """A connection whose request line and headers take longer is closed."""
    idle_seconds: int = Field(default=5, ge=1, le=600)
    """A connection without a request is closed after so long."""
    connections: int = Field(default=1000, ge=1, le=100_000)
    """More connections at a time are refused with 503."""
    texts: int = Field(default=64, ge=1, le=1000)
    """Items of one batch."""
    letters: int = Field(default=50_000, ge=1000, le=1_000_000)
    """Letters of one text, or of one conversation."""


class RetentionSettings(_Part):
    """How long records are kept; jobs run once a day."""

    audit_days: int = Field(default=2557, ge=1, le=36_500)
    """Audit log; seven years by default."""
    calls_days: int = Field(default=2557, ge=1, le=36_500)
    """Transcripts and decisions of calls."""
    recordings_days: int = Field(default=30, ge=0, le=36_500)
    """Recorded sound of calls."""
    logins_days: int = Field(default=365, ge=1, le=36_500)
    """Attempts to log in, and sessions that ended."""


class IntegritySettings(_Part):
    """How releases are watched."""

    public_key: Path | None = None
    """The owner's public key (PEM); with it a release without a valid signature is not served."""
    check_hours: float = Field(default=24, gt=0, le=168)
    """Every byte is checked at start and again after so many hours."""


class AnswersSettings(_Part):
    """Answers from the organisation's own documents."""

    index: Path | None = None
    """Index that `bedside answers index` wrote; none: `/v1/answers` is off."""


class MetricsSettings(_Part):
    """Prometheus metrics under `/metrics`."""

    enabled: bool = True
    """Serve them; a key with the scope `metrics` is asked where keys are required."""


class TelemetrySettings(_Part):
    """OpenTelemetry traces, without content."""

    otlp_endpoint: str | None = None
    """Collector, such as http://127.0.0.1:4318; none: no traces are sent."""


class PhoneSettings(_Part):
    """The practice's phone line, which runs in a process of its own."""

    data: Path | None = None
    """The line's `--data` folder: its calls are shown in the console, and its records kept as `retention` says."""
    stream: str | None = Field(default=None, pattern=r"^wss?://")
    """Address that `bedside phone serve --media-streams` prints, such as ws://127.0.0.1:8090/phone, for the console's phone."""


class GatewaySettings(_Part):
    """Everything that a gateway is told."""

    listen: ListenSettings = ListenSettings()
    """Where it listens."""
    engines: tuple[EngineSettings, ...] = Field(min_length=1)
    """The models, in the order in which they stand in for each other."""
    state: Path = Path(STATE)
    """Folder for the database, the audit log and keys."""
    database: str | None = None
    """SQLAlchemy URL, such as postgresql+pg8000://user@host/bedside; SQLite in `state` by default."""
    practice: Path | None = None
    """Practice file, for its name, numbers, fees and protocol."""
    phone: PhoneSettings = PhoneSettings()
    """The practice's phone line."""
    protocol: Path | None = None
    """The practice's protocol over the built-in knowledge, where there is no practice file."""
    scope: ScopeSettings = ScopeSettings()
    """What the assistant is for."""
    security: SecuritySettings = SecuritySettings()
    """Who may ask."""
    limits: LimitSettings = LimitSettings()
    """What one client may take up."""
    retention: RetentionSettings = RetentionSettings()
    """How long records are kept."""
    integrity: IntegritySettings = IntegritySettings()
    """How releases are watched."""
    answers: AnswersSettings = AnswersSettings()
    """Answers from documents."""
    metrics: MetricsSettings = MetricsSettings()
    """Prometheus metrics."""
    telemetry: TelemetrySettings = TelemetrySettings()
    """OpenTelemetry traces."""

    @property
    def database_url(self) -> str:
        """The database's SQLAlchemy URL."""
        return self.database or f"sqlite:///{self.state / 'gateway.sqlite'}"

    @property
    def audit_folder(self) -> Path:
        """Where the audit log is."""
        return self.state / "audit"

    @property
    def releases(self) -> dict[str, Path]:
        """Folders of releases that run in the gateway, by engine name."""
        return {engine.name: engine.release for engine in self.engines if engine.kind == "embedded" and engine.release}


def load_settings(path: Path) -> GatewaySettings:
    """Read a gateway's settings.

    Raises:
        SettingsError: the file is missing, no YAML, or has faults, all of which the message lists with their lines.
    """

    def from_its_folder(data: dict[str, Any]) -> None:
        for place in _PATHS:
            for holder, key in _holders(data, place.split(".")):
                if isinstance(holder.get(key), str):
                    holder[key] = str(path.parent / holder[key])
        data.setdefault("state", str(path.parent / STATE))

    return read_model(
        path,
        GatewaySettings,
        SettingsError,
        kind="gateway settings file",
        example=EXAMPLE,
        explained="`bedside gateway schema` explains every key",
        change=from_its_folder,
        misfits=_misfits,
    )


def settings_schema() -> dict[str, Any]:
    """JSON Schema of the settings, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **GatewaySettings.model_json_schema()}


def local_settings(release: Path, *, name: str, host: str, port: int, state: Path | None = None) -> GatewaySettings:
    """The settings of `bedside serve --release DIR`: one embedded engine, no keys asked, no console.

    Raises:
        SettingsError: a port that is none, or a folder whose name cannot be a model's.
    """
    try:
        return GatewaySettings(
            listen=ListenSettings(host=host, port=port),
            engines=(EngineSettings(name=name, release=release),),
            state=state or Path(STATE),
            security=SecuritySettings(require_keys=False, console=False),
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise SettingsError(
            f"{'.'.join(map(str, first['loc']))} {str(first['input'])!r} cannot be used ({first['msg']})", "Give another one"
        ) from error


def write_example(path: Path, release: Path, practice: Path | None) -> None:
    """Write a settings file to start from.

    Args:
        path: the file, which must not be there.
        release: the release that it serves.
        practice: the practice file; None: the line stays a comment.

    Raises:
        SettingsError: the file is there already.
        WorkspaceError: it cannot be written.
    """
    if path.exists():
        raise SettingsError(f"{str(path)!r} is there already", "Name another file, or edit that one and run `bedside gateway check` on it")
    text = files("bedside.server").joinpath("gateway.yaml").read_text(encoding="utf-8")
    text = text.replace("RELEASE", json.dumps(_beside(path, release)))
    if practice is not None:
        text = text.replace("# practice: PRACTICE", f"practice: {json.dumps(_beside(path, practice))}")
    with written_whole(path) as partial:
        partial.write_text(text.replace("PRACTICE", EXAMPLE_PRACTICE), encoding="utf-8")


def _beside(path: Path, target: Path) -> str:
    """A target as it is written in the file `path`, from whose folder paths start."""
    return os.path.relpath(target, path.parent)


def _holders(data: Any, steps: list[str]) -> Iterator[tuple[dict[str, Any], str]]:
    """The mappings that may hold the last step of a place, those of every list item included."""
    if isinstance(data, list):
        for item in data:
            yield from _holders(item, steps)
    elif isinstance(data, Mapping) and len(steps) > 1:
        yield from _holders(data.get(steps[0]), steps[1:])
    elif isinstance(data, dict):
        yield data, steps[0]


def _misfits(settings: GatewaySettings) -> Iterator[tuple[Place, str]]:
    """What does not fit together, each with its place in the file."""
    names = [engine.name for engine in settings.engines]
    for number, engine in enumerate(settings.engines):
        if engine.name in names[:number]:
            yield ("engines", number, "name"), f"{engine.name!r} stands twice"
    if settings.practice and settings.protocol:
        yield ("protocol",), "a practice file is given, which names its own protocol; put this path there"
    if not settings.listen.is_local and settings.listen.tls is None and not settings.listen.proxies:
        yield (
            ("listen", "host"),
            "other machines reach this address, so it needs `tls` (`bedside tls issue` makes a certificate) or `proxies`",
        )
    if not settings.listen.is_local and not settings.security.require_keys:
        yield ("security", "require_keys"), "other machines reach this gateway, so keys have to be asked"
