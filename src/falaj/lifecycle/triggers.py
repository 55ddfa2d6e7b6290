"""Triggers: what starts a training run by itself. A trigger starts a run, never a promotion.

An occasion has called for a run without a break for as long as the debounce says, and has not been answered: one alert
starts one run, and another only where that one failed, or labels came since and it made no version that may still
serve: its gate did not pass, somebody refused it, or its canary came back. What holds a run back is in `brakes`.
"""

from datetime import datetime

import msgspec
import sqlalchemy as sa

from falaj.definitions.endpoint import Endpoint
from falaj.governance.access import SYSTEM
from falaj.kernel.clock import to_us
from falaj.kernel.codec import to_builtins
from falaj.kernel.digest import digest_value
from falaj.kernel.duration import duration_us
from falaj.kernel.errors import Conflict
from falaj.lifecycle.approving import is_rejected
from falaj.lifecycle.brakes import Brake, brakes
from falaj.lifecycle.each import for_each
from falaj.lifecycle.occasions import Occasion, Occasions
from falaj.lifecycle.pipeline import training_graph
from falaj.lifecycle.rooms import Rooms
from falaj.models.stages import is_blessed
from falaj.models.version import ModelVersion
from falaj.pipelines.runs import RunState, get_run
from falaj.pipelines.submission import submit_in
from falaj.rollout import rollouts
from falaj.rollout.table import current_route
from falaj.storage.metadata.schema import metadata

TRIGGER = sa.Table(
    "trigger_state",
    metadata,
    sa.Column("endpoint", sa.String, primary_key=True),
    sa.Column("body", sa.Text, nullable=False),
)

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
        run_id: That run.
        calling: Since when each trigger has called without a break, by its text; empty where there is no debounce.
    """

    retrain: str
    spent: Spent
    spending: Spent
    run_id: str = ""
    calling: dict[str, int] = {}


class Seen(msgspec.Struct, frozen=True):
    """What was found about an endpoint at one moment.

    Attributes:
        due: Occasions that are not answered and have called for long enough.
        early: Those that have not.
        answered: Those that a run was started for.
        state: What is remembered, with since when each trigger calls.
    """

    due: tuple[Occasion, ...]
    early: tuple[Occasion, ...]
    answered: tuple[Occasion, ...]
    state: TriggerState


class Triggers:
    """Reconciler: submits the training runs that endpoints' triggers call for.

    Args:
        rooms: The project.
    """

    name = "triggers"

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._occasions = Occasions(rooms)

    def run_pass(self, now: datetime) -> bool:
        """Do one pass."""
        return for_each(self._rooms.definitions.endpoints.values(), lambda endpoint: self._consider(endpoint, now))

    def look(self, endpoint: Endpoint, now: datetime) -> Seen | None:
        """Return what calls for a run; None while nothing serves or the endpoint was never looked at."""
        retrain, state = endpoint.retrain, _load(self._rooms, endpoint.name)
        if retrain is None or state is None or state.retrain != _digest(endpoint):
            return None
        with self._rooms.db.read() as connection:
            route = current_route(connection, endpoint.name)
        if route is None:
            return None  # the first version is a person's decision
        spent = state.spent if self._failed(state.run_id) else state.spending
        found = self._occasions.calling(endpoint, route, spent.since_us, now)
        again = self._in_vain(endpoint, state.run_id)
        open_ones = [one for one in found if one.key not in spent.keys or (again and one.trigger.kind == "drift")]
        since = calling(state.calling, open_ones, to_us(now)) if duration_us(retrain.debounce) else {}
        bound_us = to_us(now) - duration_us(retrain.debounce)
        due = [one for one in open_ones if since.get(one.trigger.text, bound_us) <= bound_us]
        return Seen(
            tuple(due),
            tuple(one for one in open_ones if one not in due),
            tuple(one for one in found if one not in open_ones),
            msgspec.structs.replace(state, spent=spent, calling=since),
        )

    def held(self, endpoint: Endpoint, now: datetime) -> list[Brake]:
        """Return what holds a run back."""
        return brakes(self._rooms, endpoint, self._occasions.fresh_labels(endpoint), now)

    def _consider(self, endpoint: Endpoint, now: datetime) -> bool:
        state = _load(self._rooms, endpoint.name)
        if state is None and endpoint.retrain is None:
            return False
        if state is None or state.retrain != _digest(endpoint):
            # From the first sight on: a project that was applied today is not a week late for its weekly run.
            _store(self._rooms, endpoint.name, _seen(state, _digest(endpoint), to_us(now)))
            return False
        seen = self.look(endpoint, now)
        if seen is None:
            return False
        if seen.due and not self.held(endpoint, now):
            keys = (*seen.state.spent.keys, *(one.key for one in seen.due if one.key))[-_KEYS:]
            after = TriggerState(state.retrain, seen.state.spent, Spent(to_us(now), keys))
            return self._fire(endpoint, after, "; ".join(one.sentence for one in seen.due))
        if seen.state.calling != state.calling:
            _store(self._rooms, endpoint.name, msgspec.structs.replace(state, calling=seen.state.calling))
        return False

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

    def _in_vain(self, endpoint: Endpoint, run_id: str) -> bool:
        """Return whether a run made nothing that may still serve, and another one would learn from more than it did."""
        if not run_id or get_run(self._rooms.db, run_id).state is not RunState.SUCCEEDED:
            return False
        model = endpoint.model.name
        policy = self._rooms.definitions.policy_of(model)
        made = [version for version in self._rooms.registry.versions(model) if version.run_id == run_id]
        hoped_for = any(is_blessed(one, policy) and not self._is_over(endpoint, one) for one in made)
        return not hoped_for and self._occasions.fresh_labels(endpoint) > 0

    def _is_over(self, endpoint: Endpoint, version: ModelVersion) -> bool:
        """Return whether a version was refused, removed, or sent back from the endpoint's traffic."""
        with self._rooms.db.read() as connection:
            past = rollouts.history(connection, endpoint.name)
        ended = {"aborted", "rolled_back"}
        sent_back = any(one.candidate.subject == version.subject and one.status in ended for one in past)
        return sent_back or version.removed or is_rejected(self._rooms, version)


def _digest(endpoint: Endpoint) -> str:
    return digest_value(to_builtins(endpoint.retrain))


def calling(before: dict[str, int], found: list[Occasion], now_us: int) -> dict[str, int]:
    """Return since when each trigger has called; a turn of a schedule is due when it is due."""
    lasting = [one.trigger.text for one in found if one.trigger.kind != "schedule"]
    return {text: before.get(text, now_us) for text in lasting}


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
