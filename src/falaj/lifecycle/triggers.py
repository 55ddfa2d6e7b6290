"""Triggers: what starts a training run by itself. A trigger starts a run, never a promotion.

Each has a debounce (an alarm needs persistence before it is one), a cooldown since the last triggered run, a
deduplication key (one alert starts one run), a minimum of new labels, one active run per model, and a pause that
doubles after each triggered run whose gate did not pass.
"""

from datetime import datetime

import msgspec
import sqlalchemy as sa

from falaj.definitions.endpoint import Endpoint
from falaj.definitions.retrain import Retrain, Trigger
from falaj.governance.access import SYSTEM
from falaj.kernel.clock import from_us, to_us
from falaj.kernel.duration import duration_us
from falaj.kernel.errors import Conflict
from falaj.lifecycle.pipeline import training_graph
from falaj.lifecycle.rooms import Rooms
from falaj.models.gate_report import Outcome
from falaj.monitoring.alerts import list_alerts
from falaj.monitoring.verdicts import latest_verdicts
from falaj.pipelines.schedule import is_due
from falaj.pipelines.submission import submit_in
from falaj.storage.metadata.schema import metadata

TRIGGER = sa.Table(
    "trigger_state",
    metadata,
    sa.Column("endpoint", sa.String, primary_key=True),
    sa.Column("body", sa.Text, nullable=False),
)

_FIRST_BACK_OFF_US = 60_000_000
_LONGEST_BACK_OFF_US = 24 * 3_600_000_000


class TriggerState(msgspec.Struct, frozen=True):
    """What an endpoint's triggers remember.

    Attributes:
        watched_us: Since when schedules count, in microseconds.
        fired_us: When the last triggered run was submitted; 0 for never.
        fired_for: Deduplication keys of what has started a run.
        labels: Labels known when the last run was submitted.
        run_id: The last triggered run.
    """

    watched_us: int = 0
    fired_us: int = 0
    fired_for: tuple[str, ...] = ()
    labels: int = 0
    run_id: str = ""


class Reason(msgspec.Struct, frozen=True):
    """Why a run should start.

    Attributes:
        key: The same for the same occasion.
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
        fired = False
        for endpoint in self._rooms.definitions.endpoints.values():
            if endpoint.retrain is not None:
                fired = self._consider(endpoint, endpoint.retrain, now) or fired
        return fired

    def _consider(self, endpoint: Endpoint, retrain: Retrain, now: datetime) -> bool:
        rooms = self._rooms
        state = _load(rooms, endpoint.name)
        known = self._known_labels(endpoint)
        if state is None:
            # From the first sight on: a project that was applied today is not a week late for its weekly run.
            _store(rooms, endpoint.name, TriggerState(watched_us=to_us(now), labels=known))
            return False
        if rooms.registry.holder(endpoint.model.name, "production") is None:
            return False  # the first version is a person's decision
        reasons = [r for trigger in retrain.on if (r := self._reason(trigger, endpoint, state, known, now))]
        reasons = [reason for reason in reasons if reason.key not in state.fired_for]
        if not reasons or known - state.labels < retrain.min_new_labels:
            return False
        if to_us(now) < state.fired_us + max(duration_us(retrain.cooldown), self._back_off_us(endpoint)):
            return False
        return self._fire(endpoint, state, reasons, known, now)

    def _fire(self, endpoint: Endpoint, state: TriggerState, reasons: list[Reason], known: int, now: datetime) -> bool:
        rooms, model = self._rooms, endpoint.model.name
        sentence = "; ".join(reason.sentence for reason in reasons)
        try:
            with rooms.db.write() as connection:
                run_id = submit_in(
                    connection,
                    rooms.clock,
                    rooms.new_id,
                    training_graph(rooms, model),
                    by=SYSTEM,
                    reason=sentence,
                    params={"model": model, "endpoint": endpoint.name, "triggered": True},
                    dedup_key=f"train:{model}",
                )
                fired_for = (*state.fired_for, *(reason.key for reason in reasons))[-100:]
                after = TriggerState(state.watched_us, to_us(now), fired_for, known, run_id)
                connection.execute(TRIGGER.delete().where(TRIGGER.c.endpoint == endpoint.name))
                connection.execute(
                    TRIGGER.insert().values(endpoint=endpoint.name, body=msgspec.json.encode(after).decode())
                )
        except Conflict:
            return False  # a run of the model is active; the occasion stays
        return True

    def _reason(
        self, trigger: Trigger, endpoint: Endpoint, state: TriggerState, known: int, now: datetime
    ) -> Reason | None:
        if trigger.kind == "drift":
            return self._drift(endpoint)
        if trigger.kind == "performance":
            return self._performance(trigger, endpoint)
        if trigger.kind == "schedule":
            since = from_us(max(state.fired_us, state.watched_us))
            if is_due(trigger.schedule, since, now):
                return Reason(f"schedule:{to_us(now)}", f"schedule {trigger.schedule!r}")
            return None
        if known - state.labels >= trigger.count:
            return Reason(f"new_labels:{known}", f"{known - state.labels:,} new labels")
        return None

    def _drift(self, endpoint: Endpoint) -> Reason | None:
        with self._rooms.db.read() as connection:
            open_alerts = list_alerts(connection, only_open=True)
        for found in open_alerts:
            if (found.alert.rule, found.alert.subject) == ("drift", endpoint.name):
                return Reason(f"alert:{found.id}", f"drift: {found.alert.message}")
        return None

    def _performance(self, trigger: Trigger, endpoint: Endpoint) -> Reason | None:
        with self._rooms.db.read() as connection:
            kept = latest_verdicts(connection, kind="performance", subject=endpoint.name)
        if not kept or kept[0].verdict.outcome != "PASS":
            return None
        measured = kept[0].verdict.evidence["metrics"].get(trigger.metric)
        if measured is None or measured["upper"] >= trigger.bound:
            return None
        value = measured["value"]
        return Reason(f"verdict:{kept[0].seq}", f"realised {trigger.metric} {value:.4f} is below {trigger.bound:g}")

    def _back_off_us(self, endpoint: Endpoint) -> int:
        """Return the pause after triggered runs that led to nothing: it doubles with each in a row."""
        failed = 0
        for version in self._rooms.registry.versions(endpoint.model.name):
            if version.gate_outcome is Outcome.PASS or version.actor != SYSTEM.name:
                break
            failed += 1
        return min(_FIRST_BACK_OFF_US * 2 ** (failed - 1), _LONGEST_BACK_OFF_US) if failed else 0

    def _known_labels(self, endpoint: Endpoint) -> int:
        """Return how many rows of the label source have a label; counted anew when the table has changed."""
        label = endpoint.model.label
        name = f"source/{label.source.name}"
        version = self._rooms.tables.version(name)
        cached = self._labels.get(endpoint.name)
        if version is None:
            return 0
        if cached is None or cached[0] != version:
            column = self._rooms.tables.read(name, [label.column]).to_table().column(label.column)
            cached = version, len(column) - column.null_count
            self._labels[endpoint.name] = cached
        return cached[1]


def _load(rooms: Rooms, endpoint: str) -> TriggerState | None:
    with rooms.db.read() as connection:
        body = connection.execute(sa.select(TRIGGER.c.body).where(TRIGGER.c.endpoint == endpoint)).scalar()
    return None if body is None else msgspec.json.decode(body, type=TriggerState)


def _store(rooms: Rooms, endpoint: str, state: TriggerState) -> None:
    with rooms.db.write() as connection:
        connection.execute(TRIGGER.delete().where(TRIGGER.c.endpoint == endpoint))
        connection.execute(TRIGGER.insert().values(endpoint=endpoint, body=msgspec.json.encode(state).decode()))
