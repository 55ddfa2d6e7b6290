"""The settings tree: `falaj.toml`, then the environment, read once in one function."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from falaj.kernel.alert_settings import AlertSettings
from falaj.kernel.errors import DefinitionError, ProjectError
from falaj.kernel.pipeline_settings import PipelineSettings
from falaj.kernel.python_settings import PythonSettings
from falaj.kernel.rate import Rate
from falaj.kernel.ray_settings import RaySettings
from falaj.kernel.settings_source import overlay, refusal

PROJECT_FILE = "falaj.toml"
_NO_FILE = "run the command in a project's folder; 'falaj init' makes one, of definitions of your own or of a template"
_NO_NAME = (
    "run it in a project's folder, or give the settings by the environment: FALAJ_PROJECT_NAME, which is control's "
    "[project] name, FALAJ_STORAGE_ONLINE, FALAJ_STORAGE_ONLINE_URL and FALAJ_STORAGE_SHARED"
)
MOST_WORKERS = 64
"""Of one gateway on one machine."""


def http_url(host: str, port: int) -> str:
    """Return the address of an HTTP server.

    Example:
        >>> http_url("127.0.0.1", 8600), http_url("::1", 8600)
        ('http://127.0.0.1:8600', 'http://[::1]:8600')
    """
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _check_address(host: str, port: int) -> None:
    if not host.strip():
        raise ValueError("host is empty, which would listen on every network")
    _check_ranges(port)


def _check_ranges(port: int | None = None, **positive: float) -> None:
    if port is not None and not 1 <= port <= 65_535:
        raise ValueError(f"port {port} is not between 1 and 65535")
    for name, value in positive.items():
        if not value > 0:
            raise ValueError(f"{name} {value} is not above 0")


def _check_share(sample_ratio: float) -> None:
    if not 0 <= sample_ratio <= 1:
        raise ValueError(f"sample_ratio {sample_ratio} is not between 0 and 1")


class ProjectSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who the project is.

    Attributes:
        name: Shown in pages and audit records.
        files: Glob patterns of the files that hold definitions; all Python and YAML files of the folder by default.
    """

    name: str = "falaj"
    files: tuple[str, ...] = ("*.py", "*.yaml", "*.yml")


class StorageSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where state lives.

    Attributes:
        path: The state folder, relative to the project. Network file systems are refused for it.
        shared: Folder that control and gateways on other machines all reach, such as a volume that each mounts: models,
            the prediction log's segments and the gateways' counts lie there. Relative to the project; empty for the
            state folder.
        database: Where runs, versions, tokens and the audit trail are kept: empty for SQLite in the state folder, or
            `postgresql://user@host:5432/database`.
        database_password: Of PostgreSQL; better given as `FALAJ_STORAGE_DATABASE_PASSWORD` than in the file. Never
            shown.
        online: Where features are kept for serving: `lmdb` in the state folder, or `redis` at `online_url`.
        online_map_gib: Size of the LMDB map in GiB; address space, not disk, so it is large and fixed.
        online_url: Where Redis is: `redis://host:6379/0`, `rediss://` (TLS), `redis+cluster://host:7000,host:7001`.
        online_username: Of the access list of Redis; empty for its default user.
        online_password: Of Redis; better given as `FALAJ_STORAGE_ONLINE_PASSWORD` than in the file. Never shown.
        online_ca_file: PEM file of the authority that signed the certificate of Redis; empty for the system's.
        online_connect_ms: How long connecting to Redis may take.
        online_timeout_ms: How long a gateway waits for Redis before it uses declared defaults.
        online_cache_ms: How old a feature may be that a gateway gives again without asking Redis; 0 for none. An
            endpoint may say otherwise (`features_max_age`).
        redaction_key: Key of the hashes that stand for redacted fields in the prediction log; better given as
            `FALAJ_STORAGE_REDACTION_KEY` than in the file. With another key, equal values have other hashes.
        fsync_ms: How long the prediction log may keep answers that a power cut would lose (a process death loses none).
    """

    path: str = ".falaj"
    shared: str = ""
    database: str = ""
    database_password: str = ""
    online: Literal["lmdb", "redis"] = "lmdb"
    online_map_gib: int = 32
    online_url: str = ""
    online_username: str = ""
    online_password: str = ""
    online_ca_file: str = ""
    online_connect_ms: int = 250
    online_timeout_ms: int = 50
    online_cache_ms: int = 0
    redaction_key: str = ""
    fsync_ms: int = 1000

    def __post_init__(self) -> None:
        _check_ranges(
            online_map_gib=self.online_map_gib,
            online_connect_ms=self.online_connect_ms,
            online_timeout_ms=self.online_timeout_ms,
            fsync_ms=self.fsync_ms,
        )
        if self.online_cache_ms < 0:
            raise ValueError(f"online_cache_ms {self.online_cache_ms} is below 0")
        if self.online == "redis" and not self.online_url:
            raise ValueError("online is 'redis' and online_url is empty")
        if self.database and not self.database.startswith(("postgresql://", "postgres://")):
            raise ValueError("database is not an address like postgresql://user@host:5432/database")  # nor repeated

    def __repr__(self) -> str:
        secrets = ("database", "database_password", "online_url", "online_password")  # a URL may hold a password
        fields = msgspec.structs.asdict(self)
        return f"StorageSettings({fields | {name: '***' for name in secrets if fields[name]}})"


class GatewaySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The data plane.

    Attributes:
        host: Address to listen on; anything but loopback needs access control, which is always on.
        port: TCP port shared by all workers.
        grpc_port: TCP port of gRPC, shared by all workers too; 0 for none. Needs the extra `falaj[grpc]`.
        name: What tells its workers from those of other machines that share `storage.shared`; empty for the machine's
            own name there.
        workers: Number of one-worker processes at the start.
        min_workers: Fewest of them; 0 for `workers`, which are then never ended.
        max_workers: Most of them; 0 for `workers`, and then none is added.
        target_ms: Workers are added while decisions take longer, or wait as long to be read. Queue and latency are
            what tells: batches grow with load, so processor time says little.
        shrink_s: How long little must have been asked before a worker is ended; longer after each that was missed.
        max_body_bytes: Larger requests are refused with 413.
        max_rows: Most rows in one request; more are refused with 400. An endpoint may have a lower bound.
        max_connections: Open at the same time in one worker; more are answered 503 and closed. Of gRPC, whose
            connections carry many calls, an eighth of it may be open besides.
        max_queue_rows: Rows that may wait; above it requests get 503 and Retry-After.
        max_queue_bytes: Bytes of the requests that may wait; above it the same.
        mixed_runtimes: Ask each model's fastest runtime for the size of a batch, though a row's score may then differ
            in the last digits by what else is in the batch. Without it a row has one score, and a batch of many rows
            may take longer where falaj[kernels] is not installed.
        idle_timeout_s: Keep-alive connections without a request are closed after it, and so are silent streams of gRPC.
        request_timeout_s: A request whose bytes stop coming is closed after it.
        metrics_like: Peers under whose names `/metrics` gives its counts as well: some of kserve, mlserver and seldon,
            separated by commas. Empty by default, since every further series is paid for by whoever stores it.
    """

    host: str = "127.0.0.1"
    port: int = 8600
    grpc_port: int = 0
    name: str = ""
    workers: int = 1
    min_workers: int = 0
    max_workers: int = 0
    target_ms: float = 5.0
    shrink_s: float = 60.0
    max_body_bytes: int = 4 * 1024 * 1024
    max_rows: int = 10_000
    max_connections: int = 10_000
    max_queue_rows: int = 20_000
    max_queue_bytes: int = 256 << 20
    mixed_runtimes: bool = False
    idle_timeout_s: float = 75.0
    request_timeout_s: float = 10.0
    metrics_like: str = ""

    @property
    def peer_names(self) -> frozenset[str]:
        """The peers of `metrics_like`."""
        return frozenset(name.strip() for name in self.metrics_like.split(",") if name.strip())

    @property
    def url(self) -> str:
        """Where it answers."""
        return http_url(self.host, self.port)

    def __post_init__(self) -> None:
        _check_address(self.host, self.port)
        if self.grpc_port:
            _check_ranges(self.grpc_port)
            if self.grpc_port == self.port:
                raise ValueError(f"grpc_port {self.grpc_port} is the port of HTTP")
        _check_ranges(
            workers=self.workers,
            target_ms=self.target_ms,
            shrink_s=self.shrink_s,
            max_body_bytes=self.max_body_bytes,
            max_rows=self.max_rows,
            max_connections=self.max_connections,
            max_queue_rows=self.max_queue_rows,
            max_queue_bytes=self.max_queue_bytes,
            idle_timeout_s=self.idle_timeout_s,
            request_timeout_s=self.request_timeout_s,
        )
        least, most = self.min_workers or self.workers, self.max_workers or self.workers
        if not 0 < least <= self.workers <= most <= MOST_WORKERS:
            raise ValueError(
                f"workers {self.workers}, min_workers {self.min_workers} and max_workers {self.max_workers} are not in "
                f"order, or above {MOST_WORKERS}"
            )
        if not all(letter.isalnum() or letter in "-._" for letter in self.name):
            raise ValueError(f"name {self.name!r} has other characters than letters, digits, '-', '.' and '_'")
        unknown = self.peer_names - {"kserve", "mlserver", "seldon"}
        if unknown:
            raise ValueError(f"metrics_like {sorted(unknown)[0]!r} is none of kserve, mlserver, seldon")


class TracingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """W3C trace context and OpenTelemetry spans of the gateway.

    Attributes:
        enabled: Whether a caller's `traceparent` is kept in the record and echoed. Off by default: it is read for each
            request.
        otlp_url: Where spans are sent, by OTLP over HTTP, such as `http://127.0.0.1:4318/v1/traces`; empty for nowhere.
        sample_ratio: Share of the requests without a caller's trace that are traced. A caller's own decision is kept.
        otlp_headers: Sent to the collector, as `name=value,name=value`; better given as `FALAJ_TRACING_OTLP_HEADERS`
            than in the file where it is secret.
    """

    enabled: bool = False
    otlp_url: str = ""
    sample_ratio: float = 0.01
    otlp_headers: str = ""

    @property
    def headers(self) -> dict[str, str]:
        """The headers by name."""
        pairs = (pair.partition("=") for pair in self.otlp_headers.split(",") if pair.strip())
        return {name.strip().lower(): value.strip() for name, _, value in pairs}

    def __post_init__(self) -> None:
        _check_share(self.sample_ratio)
        if self.otlp_url and not self.otlp_url.startswith(("http://", "https://")):
            raise ValueError(f"otlp_url {self.otlp_url!r} is no http or https address")


class AccessLogSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The gateway's access log: JSON lines, without tokens, bodies, queries or entity keys.

    Attributes:
        enabled: Whether there is one.
        sample_ratio: Share of the answers that get a line.
        to: `file` for `log/access/WORKER.jsonl` in the state folder, or `stderr`.
        max_mib: Size in MiB at which a file is rotated.
        keep: How many rotated files of a worker stay.
    """

    enabled: bool = False
    sample_ratio: float = 1.0
    to: Literal["file", "stderr"] = "file"
    max_mib: int = 64
    keep: int = 4

    def __post_init__(self) -> None:
        _check_share(self.sample_ratio)
        _check_ranges(max_mib=self.max_mib)
        if self.keep < 0:
            raise ValueError(f"keep {self.keep} is below 0")


class LimitSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What tenants may ask of the gateways of one machine; tokens have limits of their own.

    Attributes:
        tenants: Tenant to the rows that all its tokens together may ask for in a time, such as
            `tenants = { shop = "5000/s", trial = "100/m burst 500" }`.
    """

    tenants: dict[str, str] = {}

    def __post_init__(self) -> None:
        for name, text in self.tenants.items():
            try:
                Rate.parse(text, field=f"tenants.{name}")
            except DefinitionError as error:
                raise ValueError(f"{error.message}; {error.hint}") from None


class ControlSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The control plane.

    Attributes:
        host: Address to listen on.
        port: TCP port of the API and the pages.
        reconcile_s: Pause between passes of the reconcilers.
        lease_s: How long a worker's claim on a run lasts without a heartbeat.
    """

    host: str = "127.0.0.1"
    port: int = 8610
    reconcile_s: float = 0.5
    lease_s: float = 15.0

    @property
    def url(self) -> str:
        """Where it answers."""
        return http_url(self.host, self.port)

    def __post_init__(self) -> None:
        _check_address(self.host, self.port)
        _check_ranges(reconcile_s=self.reconcile_s, lease_s=self.lease_s)


class EventSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When pushed events are refused for a moment, with 503 and Retry-After, because those before them wait.

    Attributes:
        max_waiting: Most events of a source that wait to be applied or landed. Half a million is what control works off
            in some minutes; what waits longer is no longer fresh, and its producer should know.
        min_free_mib: Least free space on the state folder's disk in MiB, by default that of one segment of a log: what
            was acknowledged needs room to be applied and landed. 0 for no bound.
        max_body_mib: Most bytes of pushes, in MiB, that control reads at the same time; they are held in memory.
    """

    max_waiting: int = 500_000
    min_free_mib: int = 64
    max_body_mib: int = 64

    def __post_init__(self) -> None:
        _check_ranges(max_waiting=self.max_waiting, max_body_mib=self.max_body_mib)
        if self.min_free_mib < 0:
            raise ValueError(f"min_free_mib {self.min_free_mib} is below 0")


class FeatureSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What computes features for training.

    Attributes:
        engine: duckdb, which comes with Falaj; postgres or spark, which are extras.
        postgres_url: The server of the engine postgres, as in `postgresql://user:password@host/database`; where it
            holds a password it belongs into the environment and not into the file. It is never shown.
        spark_master: Where Spark runs when the program has no session yet.
        memory_gib: Memory that DuckDB may take; what needs more goes to disk. None is half of the machine's, for the
            rest is needed by the answer and by whoever else works there.
        threads: Threads that DuckDB may use; None is one per core.
        spill: Folder for what DuckDB's memory does not hold; empty for the system's temporary folder.
    """

    engine: Literal["duckdb", "postgres", "spark"] = "duckdb"
    postgres_url: str = ""
    spark_master: str = "local[*]"
    memory_gib: float | None = None
    threads: int | None = None
    spill: str = ""

    def __post_init__(self) -> None:
        for name in ("memory_gib", "threads"):
            value = getattr(self, name)
            if value is not None:
                _check_ranges(**{name: value})

    def __repr__(self) -> str:
        fields = msgspec.structs.asdict(self) | ({"postgres_url": "***"} if self.postgres_url else {})
        return f"FeatureSettings({fields})"


class ConsistencySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The scheduled check of what was served, as `falaj features verify` does it.

    Attributes:
        enabled: Whether control checks by itself. On, because a fault that nobody looks for serves for months.
        every_s: Pause between two checks in seconds. Five minutes: a check of the default sample costs some seconds of
            one core.
        decisions: Most decisions that a check looks at, the newest. 500 find a fault of one decision in a hundred in 99
            of 100 checks.
    """

    enabled: bool = True
    every_s: float = 300.0
    decisions: int = 500

    def __post_init__(self) -> None:
        _check_ranges(every_s=self.every_s, decisions=self.decisions)


class CostSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Prices that turn measured use into money.

    Attributes:
        currency: Shown beside every amount.
        cpu_core_hour: Price of one core for one hour; a public cloud's list price is the default.
    """

    currency: str = "USD"
    cpu_core_hour: float = 0.05


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All settings of one project in one environment.

    Example:
        >>> Settings().gateway.host
        '127.0.0.1'
    """

    project: ProjectSettings = ProjectSettings()
    storage: StorageSettings = StorageSettings()
    gateway: GatewaySettings = GatewaySettings()
    tracing: TracingSettings = TracingSettings()
    access_log: AccessLogSettings = AccessLogSettings()
    python: PythonSettings = PythonSettings()
    limits: LimitSettings = LimitSettings()
    control: ControlSettings = ControlSettings()
    pipelines: PipelineSettings = PipelineSettings()
    ray: RaySettings = RaySettings()
    events: EventSettings = EventSettings()
    features: FeatureSettings = FeatureSettings()
    consistency: ConsistencySettings = ConsistencySettings()
    alerts: AlertSettings = AlertSettings()
    cost: CostSettings = CostSettings()


def load_settings(folder: Path, environ: Mapping[str, str] | None = None, *, need_file: bool = True) -> Settings:
    """Read `falaj.toml`, then variables like `FALAJ_GATEWAY_PORT=8700` over it.

    This is the one place that reads the environment.

    Args:
        folder: The project's folder.
        environ: The environment; the process's own by default.
        need_file: Whether the file must be there; a gateway in a container may have `FALAJ_PROJECT_NAME` and others of
            the environment alone.

    Raises:
        ProjectError: The file is absent, is not TOML, or it or a variable names a setting that does not exist, or gives
            one a value that it cannot have.
    """
    path = folder / PROJECT_FILE
    environ = os.environ if environ is None else environ
    try:
        alone = not need_file and "FALAJ_PROJECT_NAME" in environ and folder.is_dir() and not path.exists()
        tree: dict[str, Any] = {} if alone else tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ProjectError(f"{path} does not exist", hint=_NO_FILE if need_file else _NO_NAME) from None
    except NotADirectoryError:
        raise ProjectError(f"{folder} is not a folder", hint="give the project's folder with --project") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ProjectError(f"{path}: {error}", hint="correct the file") from None
    overlay(tree, environ, Settings)
    try:
        return msgspec.convert(tree, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise refusal(error, path, environ, Settings) from None
