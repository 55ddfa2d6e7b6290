"""Operations on definitions: plan and apply."""

import msgspec

from falaj.definitions.project import Definitions
from falaj.governance.access import Actor
from falaj.lifecycle.apply import apply_definitions, plan_definitions
from falaj.lifecycle.plan import Change
from falaj.lifecycle.rooms import Rooms


class PlanQuery(msgspec.Struct, frozen=True):
    """The definitions to compare with those in force."""

    definitions: Definitions


class PlanResult(msgspec.Struct, frozen=True):
    """What would be, or was, carried out.

    Attributes:
        epoch: The applied epoch: before for a plan, after for an apply.
        changes: In the order in which definitions depend on each other.
    """

    epoch: int
    changes: tuple[Change, ...]


def plan(rooms: Rooms, actor: Actor, params: PlanQuery) -> PlanResult:
    """Show what applying would change."""
    del actor
    made = plan_definitions(rooms, params.definitions)
    return PlanResult(made.epoch, made.changes)


def apply(rooms: Rooms, actor: Actor, params: PlanQuery) -> PlanResult:
    """Put the definitions in force."""
    made, applied = apply_definitions(rooms, params.definitions, actor)
    return PlanResult(applied.epoch, made.changes)
