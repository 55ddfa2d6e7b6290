"""GatewaySettings: the data plane, with its traces, access log and limits."""

from typing import Literal

import msgspec

from falaj.kernel.errors import DefinitionError
from falaj.kernel.ranges import check_address, check_ranges, check_share, http_url
from falaj.kernel.rate import Rate

MOST_WORKERS = 64
"""Of one gateway on one machine."""


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
        check_address(self.host, self.port)
        if self.grpc_port:
            check_ranges(self.grpc_port)
            if self.grpc_port == self.port:
                raise ValueError(f"grpc_port {self.grpc_port} is the port of HTTP")
        check_ranges(
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
        check_share(self.sample_ratio)
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
        check_share(self.sample_ratio)
        check_ranges(max_mib=self.max_mib)
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
