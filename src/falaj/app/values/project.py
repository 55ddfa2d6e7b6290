"""Values of the operations on project."""

import msgspec

from falaj.definitions.project import Definitions
from falaj.lifecycle.plan import Change


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
