"""Values of the operation on consistency."""

import msgspec


class ConsistencyQuery(msgspec.Struct, frozen=True):
    """Ask what the last check of served features found."""


class ConsistencyStatus(msgspec.Struct, frozen=True):
    """What the last check of served features over all endpoints found.

    Attributes:
        every_s: Pause between two scheduled checks in seconds; None when the schedule is off.
        outcome: PASS, FAIL, or INCONCLUSIVE when there was nothing but defaults to compare; empty before any check.
        reason: One sentence.
        age_s: How long ago the check was; None before any.
        decisions: Decisions of which something was compared.
        compared: Values compared.
        mismatches: Those that are not what the events say.
        non_default_share: Share of the compared values that were not defaults.
        changed_by_view: Values per view that late data has changed since; no fault.
    """

    every_s: float | None
    outcome: str = ""
    reason: str = "nothing was checked yet"
    age_s: float | None = None
    decisions: int = 0
    compared: int = 0
    mismatches: int = 0
    non_default_share: float = 0.0
    changed_by_view: dict[str, int] = {}
