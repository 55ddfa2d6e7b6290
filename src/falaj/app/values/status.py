"""What the status operation answers with: plain values that the command line, the API and the page all show."""

from typing import Any

import msgspec

from falaj.app.values.consistency import ConsistencyStatus
from falaj.app.values.freshness import ViewFreshness
from falaj.data.report import FeedState


class VariantStatus(msgspec.Struct, frozen=True):
    """One version behind an endpoint.

    Attributes:
        variant: "champion" or "candidate".
        version: The version's number.
        role: "live" or "shadow".
        weight_percent: Its share of units.
        requests: Decisions since the gateway's counters began.
        errors: Those that failed.
        rate_per_s: Decisions per second over the last half minute; None where no control watches.
        p50_ms: Median latency; None without requests.
        p99_ms: 99th percentile of latency; None without requests.
    """

    variant: str
    version: int
    role: str
    weight_percent: float
    requests: int = 0
    errors: int = 0
    rate_per_s: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None


class DriftStatus(msgspec.Struct, frozen=True):
    """How far one feature has moved from the test rows of the version that serves.

    Attributes:
        feature: The feature column, or "score".
        outcome: "DRIFT", "SUSPECTED" (moved, but not for long enough), "NO_DRIFT" or "INCONCLUSIVE".
        effect: Population stability index.
        p_value: Corrected.
    """

    feature: str
    outcome: str
    effect: float | None = None
    p_value: float | None = None


class EstimateStatus(msgspec.Struct, frozen=True):
    """A figure with its interval.

    Attributes:
        value: The figure.
        lower: Lower end, with 95 % confidence.
        upper: Upper end.
    """

    value: float
    lower: float
    upper: float


class SegmentStatus(msgspec.Struct, frozen=True):
    """What was found of one segment of the decisions.

    Attributes:
        outcome: Of its drift: "DRIFT", "NO_DRIFT" or "INCONCLUSIVE".
        quality: What was found of its realised quality, as one sentence; empty where nothing was.
        realised: Its realised metrics; empty where they are not to be believed.
    """

    outcome: str = "INCONCLUSIVE"
    quality: str = ""
    realised: dict[str, EstimateStatus] = {}


class MonitorStatus(msgspec.Struct, frozen=True):
    """What an endpoint's monitor last found.

    Attributes:
        outcome: "DRIFT", "NO_DRIFT" or "INCONCLUSIVE".
        reason: One sentence.
        at_us: When, in microseconds; 0 when it has not looked yet.
        window: How many decisions it looked at.
        features: The most moved first.
        realised: Realised metrics by name, from outcomes that arrived.
        outcomes: How many outcomes that rests on.
        maturity: Share of decisions whose outcome is known.
        version: What was looked at, such as "fraud/2".
        quality: What was found of the realised quality, as one sentence; empty before any decision.
        early: Outcomes of decisions younger than the label's delay; they do not count yet.
        unknown: Outcomes of request ids that no decision of the project has; they count for nothing.
        intervals: The realised metrics with their intervals.
        segments: "column=value" to what was found of its drift and of its realised quality.
        estimated: Metrics of the last window that are estimated from its scores, without outcomes; never measured.
        estimate: How they were estimated, or why not, as one sentence.
    """

    outcome: str = "INCONCLUSIVE"
    reason: str = "no full window of decisions yet"
    at_us: int = 0
    window: int = 0
    features: tuple[DriftStatus, ...] = ()
    realised: dict[str, float | None] = {}
    outcomes: int = 0
    maturity: float | None = None
    version: str = ""
    quality: str = ""
    early: int = 0
    unknown: int = 0
    intervals: dict[str, EstimateStatus] = {}
    segments: dict[str, SegmentStatus] = {}
    estimated: dict[str, EstimateStatus] = {}
    estimate: str = ""


class EndpointStatus(msgspec.Struct, frozen=True):
    """One endpoint.

    Attributes:
        name: The endpoint.
        model: The model behind it.
        epoch: Its routing epoch.
        variants: What serves.
        rollout: What is on its way, such as "canary step 2 of 3: 50 %" or "version 4 waits for approval"; empty for
            nothing.
        monitor: Drift and realised quality.
        cost_per_thousand: Of a thousand decisions; None before any.
        currency: Of the cost.
        load_error: How many gateway workers cannot load what is published, and why; empty where all can.
    """

    name: str
    model: str
    epoch: int
    variants: tuple[VariantStatus, ...]
    rollout: str = ""
    monitor: MonitorStatus = MonitorStatus()
    cost_per_thousand: float | None = None
    currency: str = ""
    load_error: str = ""


class VersionStatus(msgspec.Struct, frozen=True):
    """One model version.

    Attributes:
        model: The model.
        version: Its number.
        stage: development, staging, production or archived.
        gate: PASS, FAIL or INCONCLUSIVE.
        approval: PENDING, APPROVED, REJECTED, EXPIRED, SUPERSEDED or empty.
        approved_by: Who decided.
        created_us: When it was registered, in microseconds.
        metrics: Test metrics.
        dataset: The dataset's digest.
        run_id: The run that made it.
        reason: Why that run started.
    """

    model: str
    version: int
    stage: str
    gate: str
    approval: str = ""
    approved_by: str = ""
    created_us: int = 0
    metrics: dict[str, float | None] = {}
    dataset: str = ""
    run_id: str = ""
    reason: str = ""


class RunStatus(msgspec.Struct, frozen=True):
    """One run.

    Attributes:
        id: Its identifier.
        pipeline: What it runs, such as "train:fraud".
        state: QUEUED, RUNNING, SUCCEEDED, FAILED, ...
        reason: Why it started.
        started_us: When, in microseconds; None before it starts.
        seconds: How long it took, or has taken.
        step: The step at work or the one that failed.
        error: The failure, as a sentence.
        params: What it was started with.
    """

    id: str
    pipeline: str
    state: str
    reason: str = ""
    started_us: int | None = None
    seconds: float | None = None
    step: str = ""
    error: str = ""
    params: dict[str, object] = {}


class SourceStatus(msgspec.Struct, frozen=True):
    """One source.

    Attributes:
        name: The source.
        rows: Rows in its table.
        quarantined: Rows that stand refused, with reasons.
        files: Files ingested.
        streamed: Events that arrived one by one.
        last_event_us: The latest event time in the table; None when empty or timeless.
        replayed: Refused rows that a replay accepted; they count as rows now, and as quarantined no more.
        feed: How far the source's feed was taken; empty where it has none.
    """

    name: str
    rows: int = 0
    quarantined: int = 0
    files: int = 0
    streamed: int = 0
    last_event_us: int | None = None
    replayed: int = 0
    feed: FeedState = FeedState()


class AlertStatus(msgspec.Struct, frozen=True):
    """One alert.

    Attributes:
        id: Its identifier.
        severity: "info", "warning" or "critical".
        subject: What it is about.
        message: One sentence.
        opened_us: When, in microseconds.
        open: Whether it still holds.
        incident: The incident that it belongs to; None until control has looked at it.
        silenced: Whether nobody is told of it now.
    """

    id: str
    severity: str
    subject: str
    message: str
    opened_us: int
    open: bool
    incident: int | None = None
    silenced: bool = False


class Status(msgspec.Struct, frozen=True):
    """The project at a glance.

    Attributes:
        project: Its name.
        at_us: When this was gathered.
        control: Whether a control process runs.
        gateway_workers: How many gateway workers report.
        sources: The sources.
        views: How fresh the online views are; empty where no control keeps them.
        endpoints: What serves.
        versions: Model versions, newest first.
        runs: Runs, newest first.
        alerts: Alerts, newest first.
        audit: The newest audit records: at, actor, action, resource; empty for who may not read them.
        cost: Total cost by kind.
        currency: Of the costs.
        consistency: What the last check of served features found.
        page: Address of the overview page; empty where no control runs. MLflow's pages are below it, at `/mlflow/`.
    """

    project: str
    at_us: int
    control: bool
    gateway_workers: int
    sources: tuple[SourceStatus, ...] = ()
    views: tuple[ViewFreshness, ...] = ()
    endpoints: tuple[EndpointStatus, ...] = ()
    versions: tuple[VersionStatus, ...] = ()
    runs: tuple[RunStatus, ...] = ()
    alerts: tuple[AlertStatus, ...] = ()
    audit: tuple[dict[str, Any], ...] = ()
    cost: dict[str, float] = {}
    currency: str = ""
    consistency: ConsistencyStatus | None = None
    page: str = ""


class StatusQuery(msgspec.Struct, frozen=True):
    """Ask for the project at a glance."""
