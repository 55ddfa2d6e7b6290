"""The settings tree: `falaj.toml`, then the environment, read once in one function."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from falaj.kernel.alert_settings import AlertSettings
from falaj.kernel.errors import ProjectError
from falaj.kernel.gateway_settings import AccessLogSettings, GatewaySettings, LimitSettings, TracingSettings
from falaj.kernel.pipeline_settings import PipelineSettings
from falaj.kernel.python_settings import PythonSettings
from falaj.kernel.ranges import check_address, check_ranges, http_url
from falaj.kernel.ray_settings import RaySettings
from falaj.kernel.settings_source import overlay, refusal

PROJECT_FILE = "falaj.toml"
_NO_FILE = "run the command in a project's folder; 'falaj init' makes one, of definitions of your own or of a template"
_NO_NAME = (
    "run it in a project's folder, or give the settings by the environment: FALAJ_PROJECT_NAME, which is control's "
    "[project] name, FALAJ_STORAGE_ONLINE, FALAJ_STORAGE_ONLINE_URL and FALAJ_STORAGE_SHARED"
)


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
        check_ranges(
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
        check_address(self.host, self.port)
        check_ranges(reconcile_s=self.reconcile_s, lease_s=self.lease_s)


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
        check_ranges(max_waiting=self.max_waiting, max_body_mib=self.max_body_mib)
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
                check_ranges(**{name: value})

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
        check_ranges(every_s=self.every_s, decisions=self.decisions)


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
