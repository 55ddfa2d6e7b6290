"""The operation on triggers: what would train an endpoint's model again, what holds it back, and what came of it."""

from falaj.app.values.triggers import TriggersQuery, TriggersStatus, TriggerStatus
from falaj.definitions.retrain import Trigger
from falaj.governance.access import Actor
from falaj.lifecycle.brakes import spent_in_a_day
from falaj.lifecycle.retrainings import retrainings
from falaj.lifecycle.rooms import Rooms
from falaj.lifecycle.triggers import Seen, Triggers


def show(rooms: Rooms, actor: Actor, params: TriggersQuery) -> TriggersStatus:
    """Return an endpoint's triggers, what holds a run back, and the past runs of its model."""
    del actor
    endpoint, now = rooms.definitions.endpoint(params.endpoint), rooms.clock.now()
    triggers = Triggers(rooms)
    seen = triggers.look(endpoint, now)
    declared = () if endpoint.retrain is None else endpoint.retrain.on
    return TriggersStatus(
        endpoint.name,
        endpoint.model.name,
        watched=seen is not None,
        triggers=tuple(_status(trigger, seen) for trigger in declared),
        brakes=tuple(triggers.held(endpoint, now)) if declared else (),
        runs=tuple(retrainings(rooms, endpoint, limit=params.limit)),
        spent=spent_in_a_day(rooms, endpoint.model.name, now),
        max_cost_per_day=None if endpoint.retrain is None else endpoint.retrain.max_cost_per_day,
        currency=rooms.settings.cost.currency,
    )


def _status(trigger: Trigger, seen: Seen | None) -> TriggerStatus:
    if seen is None:
        return TriggerStatus(trigger.text, "quiet")
    since_us = seen.state.calling.get(trigger.text)
    for one in seen.due:
        if one.trigger == trigger:
            return TriggerStatus(trigger.text, "calling", one.sentence, since_us)
    for one in seen.early:
        if one.trigger == trigger:
            return TriggerStatus(trigger.text, "early", one.sentence, since_us)
    for one in seen.answered:
        if one.trigger == trigger:
            return TriggerStatus(trigger.text, "answered", one.sentence)
    return TriggerStatus(trigger.text, "quiet")
