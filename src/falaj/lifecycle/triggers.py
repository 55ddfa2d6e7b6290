"""Triggers: what starts a training run by itself. A trigger starts a run, never a promotion.

Each has a debounce (an alarm needs persistence before it is one), a cooldown since the last triggered run, a
deduplication key (one alert starts one run, and another only where that one failed), a minimum of new labels, one
active run per model, and a pause that doubles after each triggered run that failed or whose gate did not pass.
"""

from datetime import datetime

import msgspec
import sqlalchemy as sa

from falaj.definitions.endpoint import Endpoint
from falaj.definitions.retrain import Trigger
from falaj.definitions.routing_table import EndpointRoute
from falaj.governance.access import SYSTEM
from falaj.kernel.clock import from_us, to_us
from falaj.kernel.codec import to_builtins
from falaj.kernel.digest import digest_value
from falaj.kernel.duration import duration_us
from falaj.kernel.errors import Conflict
from falaj.lifecycle.each import for_each
from falaj.lifecycle.known_labels import known_labels
from falaj.lifecycle.pipeline import training_graph
from falaj.lifecycle.rooms import Rooms
from falaj.lifecycle.watching import champion_of, monitor_name
from falaj.models.gate_report import Outcome
from falaj.monitoring.alerts import list_alerts
from falaj.monitoring.verdicts import latest_verdicts
from falaj.pipelines.runs import RunState, get_run, list_runs
from falaj.pipelines.schedule import is_due
from falaj.pipelines.submission import submit_in
from falaj.rollout.table import current_route
from falaj.storage.metadata.schema import metadata

TRIGGER = sa.Table(
    "trigger_state",
    metadata,
    sa.Column("endpoint", sa.String, primary_key=True),
    sa.Column("body", sa.Text, nullable=False),
)

_FIRST_BACK_OFF_US = 60_000_000
_LONGEST_BACK_OFF_US = 24 * 3_600_000_000
_RUNS = 20
"""So many runs in a row have reached the longest pause."""
_KEYS = 100


class Spent(msgspec.Struct, frozen=True):
    """The occasions that need no run any more.

    Attributes:
        since_us: Since when schedules count, in microseconds.
        keys: Deduplication keys of the others.
    """

    since_us: int
    keys: tuple[str, ...] = ()


class TriggerState(msgspec.Struct, frozen=True):
    """What an endpoint's triggers remember.

    Attributes:
        retrain: Digest of the definition; under another one schedules count anew.
        spent: What has been answered before the last triggered run.
        spending: What is answered once that run has not failed.
        fired_us: When that run was submitted, in microseconds; 0 for never.
        run_id: That run.
    """

    retrain: str
    spent: Spent
    spending: Spent
    fired_us: int = 0
    run_id: str = ""


class Reason(msgspec.Struct, frozen=True):
    """Why a run should start.

    Attributes:
        key: The same for the same occasion; empty for one that is over when it has started a run.
        sentence: For people; kept with the run.
    """

    key: str
    sentence: str


class Triggers:
    """Reconciler: submits the training runs that endpoints' triggers call for.

    Args:
        rooms: The project.
    """

    name = "triggers"

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._labels: dict[str, tuple[int | None, int]] = {}

    def run_pass(self, now: datetime) -> bool:
        """Do one pass."""
        return for_each(self._rooms.definitions.endpoints.values(), lambda endpoint: self._consider(endpoint, now))

    def _consider(self, endpoint: Endpoint, now: datetime) -> bool:
        rooms, retrain = self._rooms, endpoint.retrain
        digest, state = digest_value(to_builtins(retrain)), _load(rooms, endpoint.name)
        if state is None and retrain is None:
            return False
        if state is None or state.retrain != digest:
            # From the first sight on: a project that was applied today is not a week late for its weekly run.
            _store(rooms, endpoint.name, _seen(state, digest, to_us(now)))
            return False
        if retrain is None:
            return False
        with rooms.db.read() as connection:
            route = current_route(connection, endpoint.name)
        if route is None:
            return False  # the first version is a person's decision
        spent = state.spent if self._failed(state.run_id) else state.spending
        fresh = self._known_labels(endpoint) - self._trained_labels(endpoint)
        reasons = [r for trigger in retrain.on if (r := self._reason(trigger, endpoint, route, spent, fresh, now))]
        reasons = [reason for reason in reasons if reason.key not in spent.keys]
        if not reasons or fresh < retrain.min_new_labels:
            return False
        if to_us(now) < state.fired_us + max(duration_us(retrain.cooldown), self._back_off_us(endpoint)):
            return False
        keys = (*spent.keys, *(reason.key for reason in reasons if reason.key))[-_KEYS:]
        after = TriggerState(digest, spent, Spent(to_us(now), keys), to_us(now))
        return self._fire(endpoint, after, "; ".join(reason.sentence for reason in reasons))

    def _fire(self, endpoint: Endpoint, after: TriggerState, reason: str) -> bool:
        rooms, model = self._rooms, endpoint.model.name
        graph = training_graph(rooms, model)
        try:
            with rooms.db.write() as connection:
                run_id = submit_in(
                    connection,
                    rooms.clock,
                    rooms.new_id,
                    graph,
                    by=SYSTEM,
                    reason=reason,
                    params={"model": model, "endpoint": endpoint.name, "triggered": True},
                    dedup_key=f"train:{model}",
                )
                _put(connection, endpoint.name, msgspec.structs.replace(after, run_id=run_id))
        except Conflict:
            return False  # a run of the model is active; the occasion stays
        return True

    def _failed(self, run_id: str) -> bool:
        """Return whether a run came to nothing by itself; what a person cancelled is not asked for again."""
        return bool(run_id) and get_run(self._rooms.db, run_id).state in (RunState.FAILED, RunState.TIMED_OUT)

    def _reason(
        self, trigger: Trigger, endpoint: Endpoint, route: EndpointRoute, spent: Spent, fresh: int, now: datetime
    ) -> Reason | None:
        if trigger.kind == "drift":
            return self._drift(route)
        if trigger.kind == "performance":
            return self._performance(trigger, route)
        if trigger.kind == "schedule":
            if is_due(trigger.schedule, from_us(spent.since_us), now):
                return Reason("", f"schedule {trigger.schedule!r}")
            return None
        if fresh >= trigger.count:
            return Reason(f"new_labels:{self._known_labels(endpoint)}", f"{fresh:,} new labels")
        return None

    def _drift(self, route: EndpointRoute) -> Reason | None:
        with self._rooms.db.read() as connection:
            open_alerts = list_alerts(connection, only_open=True)
        for found in open_alerts:
            about = found.alert.rule, found.alert.subject, found.alert.evidence.get("monitor")
            if about == ("drift", route.endpoint, monitor_name(route)):
                return Reason(f"alert:{found.id}", f"drift: {found.alert.message}")
        return None

    def _performance(self, trigger: Trigger, route: EndpointRoute) -> Reason | None:
        served = champion_of(route)
        with self._rooms.db.read() as connection:
            kept = latest_verdicts(connection, kind="performance", subject=route.endpoint, version=served.subject)
        if not kept or kept[0].verdict.outcome != "PASS":
            return None
        measured = kept[0].verdict.evidence["metrics"].get(trigger.metric)
        if measured is None or measured["upper"] >= trigger.bound:
            return None
        value = measured["value"]
        return Reason(f"verdict:{kept[0].seq}", f"realised {trigger.metric} {value:.4f} is below {trigger.bound:g}")

    def _back_off_us(self, endpoint: Endpoint) -> int:
        """Return the pause after triggered runs that led to nothing: it doubles with each in a row."""
        model, failed = endpoint.model.name, 0
        passed = {v.run_id for v in self._rooms.registry.versions(model) if v.gate_outcome is Outcome.PASS}
        for run in list_runs(self._rooms.db, pipeline=f"train:{model}", limit=_RUNS):
            if run.id in passed or run.actor != SYSTEM.name:
                break
            failed += run.state.ended and run.state is not RunState.CANCELLED
        return min(_FIRST_BACK_OFF_US * 2 ** (failed - 1), _LONGEST_BACK_OFF_US) if failed else 0

    def _trained_labels(self, endpoint: Endpoint) -> int:
        """Return how many labels were known to the last training, whoever asked for it."""
        versions = self._rooms.registry.versions(endpoint.model.name)
        return versions[0].labels if versions else 0

    def _known_labels(self, endpoint: Endpoint) -> int:
        """Return how many labels are known; counted anew when the table has changed."""
        label = endpoint.model.label
        version = self._rooms.tables.version(f"source/{label.source.name}")
        cached = self._labels.get(endpoint.name)
        if version is None:
            return 0
        if cached is None or cached[0] != version:
            cached = self._labels[endpoint.name] = version, known_labels(self._rooms, label, version)
        return cached[1]


def _seen(before: TriggerState | None, retrain: str, now_us: int) -> TriggerState:
    """Return what is remembered under a definition that is new: schedules count from now on."""
    if before is None:
        return TriggerState(retrain, Spent(now_us), Spent(now_us))
    spent, spending = (msgspec.structs.replace(one, since_us=now_us) for one in (before.spent, before.spending))
    return msgspec.structs.replace(before, retrain=retrain, spent=spent, spending=spending)


def _load(rooms: Rooms, endpoint: str) -> TriggerState | None:
    with rooms.db.read() as connection:
        body = connection.execute(sa.select(TRIGGER.c.body).where(TRIGGER.c.endpoint == endpoint)).scalar()
    return None if body is None else msgspec.json.decode(body, type=TriggerState)


def _store(rooms: Rooms, endpoint: str, state: TriggerState) -> None:
    with rooms.db.write() as connection:
        _put(connection, endpoint, state)


def _put(connection: sa.Connection, endpoint: str, state: TriggerState) -> None:
    connection.execute(TRIGGER.delete().where(TRIGGER.c.endpoint == endpoint))
    connection.execute(TRIGGER.insert().values(endpoint=endpoint, body=msgspec.json.encode(state).decode()))
