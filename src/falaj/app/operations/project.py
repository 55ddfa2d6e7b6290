"""Operations on definitions: plan and apply."""

from falaj.app.values.project import PlanQuery, PlanResult
from falaj.governance.access import Actor
from falaj.lifecycle.apply import apply_definitions, plan_definitions
from falaj.lifecycle.catch_up import refresh_views
from falaj.lifecycle.publication import publish_waiting
from falaj.lifecycle.rooms import Rooms
from falaj.rollout.options import put_options


def plan(rooms: Rooms, actor: Actor, params: PlanQuery) -> PlanResult:
    """Show what applying would change."""
    del actor
    made = plan_definitions(rooms, params.definitions)
    return PlanResult(made.epoch, made.changes)


def apply(rooms: Rooms, actor: Actor, params: PlanQuery) -> PlanResult:
    """Put the definitions in force."""
    made, applied = apply_definitions(rooms, params.definitions, actor)
    wanted = {name: endpoint.options for name, endpoint in params.definitions.endpoints.items()}
    put_options(rooms.db, rooms.clock, actor, wanted)
    publish_waiting(rooms)  # what is logged from now on
    refresh_views(rooms)  # so that a push that waits from now on waits for the new ones too
    return PlanResult(applied.epoch, made.changes)
