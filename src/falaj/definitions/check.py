"""Declarative data checks: what a row must satisfy, and what happens to one that does not."""

import re
from typing import Any, Literal

import msgspec

from falaj.definitions.declared import Declared
from falaj.kernel.errors import DefinitionError
from falaj.kernel.names import check_name

Severity = Literal["reject", "warn"]
Rule = Literal["not_null", "between", "in_set", "matches", "unique"]


class Check(msgspec.Struct, metaclass=Declared, frozen=True):
    """One rule on one column.

    Attributes:
        rule: Which rule.
        column: The column it looks at.
        params: The rule's bounds, values or pattern.
        severity: "reject" sends the row to quarantine with the reason; "warn" counts it and lets it in.
    """

    rule: Rule
    column: str
    params: dict[str, Any] = {}
    severity: Severity = "reject"

    def __post_init__(self) -> None:
        check_name("column", self.column)
        if self.severity not in ("reject", "warn"):
            raise DefinitionError(
                f"check {self.rule}({self.column!r}): severity {self.severity!r}", hint="use 'reject' or 'warn'"
            )

    @property
    def reason(self) -> str:
        """The sentence that stands beside a row that fails.

        Example:
            >>> between("amount", 0, 10).reason
            'amount is not between 0 and 10'
        """
        p = self.params
        return {
            "not_null": f"{self.column} is null",
            "between": f"{self.column} is not between {p.get('low')} and {p.get('high')}",
            "in_set": f"{self.column} is not one of the {len(p.get('values', ()))} allowed values",
            "matches": f"{self.column} does not match {p.get('pattern')!r}",
            "unique": f"{self.column} is not unique in its file",
        }[self.rule]


def not_null(column: str, *, severity: Severity = "reject") -> Check:
    """Refuse rows whose column is null."""
    return Check("not_null", column, {}, severity)


def between(column: str, low: float, high: float, *, severity: Severity = "reject") -> Check:
    """Refuse rows whose column is outside the closed interval (NaN is outside; null passes).

    Raises:
        DefinitionError: `low` is above `high`.
    """
    if not low <= high:
        raise DefinitionError(f"check between({column!r}): low {low} is above high {high}", hint="swap them")
    return Check("between", column, {"low": low, "high": high}, severity)


def in_set(column: str, values: list[Any] | tuple[Any, ...], *, severity: Severity = "reject") -> Check:
    """Refuse rows whose column is none of the values (null passes)."""
    if not values:
        raise DefinitionError(f"check in_set({column!r}): no values", hint="give at least one")
    return Check("in_set", column, {"values": list(values)}, severity)


def matches(column: str, pattern: str, *, severity: Severity = "reject") -> Check:
    """Refuse rows whose text does not match the whole regular expression (null passes)."""
    try:
        re.compile(pattern)
    except re.error as error:
        raise DefinitionError(f"check matches({column!r}): pattern {pattern!r}: {error}") from None
    return Check("matches", column, {"pattern": pattern}, severity)


def unique(column: str, *, severity: Severity = "warn") -> Check:
    """Count rows whose value stands more than once in their file (the source's id de-duplicates by itself)."""
    return Check("unique", column, {}, severity)
