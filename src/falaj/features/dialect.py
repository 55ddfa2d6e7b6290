"""Dialect: how an engine writes names, literals, types and the few functions that differ."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Dialect:
    """One engine's way of saying things.

    Attributes:
        name: The engine.
        types: The SQL type of each of our types; a timestamp is whole microseconds.
        quote: What names stand between.
        nan: A NaN.
        whole: The operator or function of a division that drops the rest.
        wide: A type in which whole numbers of 64 bits are added without overflow.
        infinity: The infinity above all numbers.
        nan_is_greatest: Whether its comparisons take NaN as equal to itself and above every number, as ours do.
        executed: Whether this project runs its text; where not, the text is only as good as its author.
        without: Expressions of which it has no function of the same meaning.
        refused: Aggregations that it cannot compute, and why.
    """

    name: str
    types: dict[str, str]
    quote: str = '"'
    nan: str = "CAST('NaN' AS DOUBLE)"
    whole: str = "//"
    wide: str = "DECIMAL(38, 0)"
    infinity: str = "CAST('Infinity' AS DOUBLE)"
    nan_is_greatest: bool = True
    executed: bool = True
    without: frozenset[str] = field(default_factory=frozenset)
    refused: Mapping[str, str] = field(default_factory=dict)

    def quoted(self, name: str) -> str:
        """Return a name as an identifier.

        Example:
            >>> print(DIALECTS["duckdb"].quoted('a"b'), DIALECTS["spark"].quoted("a"))
            "a""b" `a`
        """
        return f"{self.quote}{name.replace(self.quote, self.quote * 2)}{self.quote}"

    def literal(self, value: Any, dtype: str) -> str:
        """Return a value as text.

        Args:
            value: None, or of the type; a timestamp as whole microseconds.
            dtype: Its type.
        """
        if value is None:
            return f"CAST(NULL AS {self.types[dtype]})"
        if dtype == "string":
            return self._text(value)
        if dtype == "bool":
            return "TRUE" if value else "FALSE"
        if dtype == "float64":
            said = repr(float(value))
            if self.name != "duckdb":
                return self.cast(said, "float64")
            return said if "e" in said else f"{said}e0"  # without an exponent it would be a decimal
        return str(int(value))

    def cast(self, value: str, dtype: str) -> str:
        """Return a value converted to a type."""
        return f"CAST({value} AS {self.types[dtype]})"

    def whole_number(self, condition: str) -> str:
        """Return a truth value as 1 or 0; NULL for null."""
        return f"CASE WHEN {condition} THEN 1 WHEN NOT {condition} THEN 0 END"

    def microseconds(self, instant: str) -> str:
        """Return a column of instants as whole microseconds since 1970."""
        return _MICROSECONDS[self.name].format(instant)

    def is_nan(self, value: str) -> str:
        """Return whether a float is NaN; NULL for null."""
        if self.name in ("postgres", "snowflake"):
            return f"({value} = {self.nan})"
        return f"is_nan({value})" if self.name == "bigquery" else f"isnan({value})"

    def modulo(self, value: str, modulus: int) -> str:
        """Return the remainder of a division of whole numbers, with the sign of the dividend."""
        return f"(({value}) % {modulus})" if self.name != "bigquery" else f"mod({value}, {modulus})"

    def whole_division(self, value: str, divisor: int) -> str:
        """Return a quotient of whole numbers without its rest."""
        if self.name in ("bigquery", "snowflake"):
            return f"div({value}, {divisor})" if self.name == "bigquery" else f"trunc({value} / {divisor})"
        return f"({value} {self.whole} {divisor})"

    def floor_modulo(self, value: str, modulus: int) -> str:
        """Return the remainder that is never negative, whatever sign the engine gives it."""
        return self.modulo(f"{self.modulo(value, modulus)} + {modulus}", modulus)

    def floor(self, value: str, *, up: bool = False) -> str:
        """Return a float without its fraction, as a float; rounded up where asked."""
        name = "ceil" if up else "floor"
        if self.name != "spark":
            return f"{name}({value})"
        # There the result is a whole number of 64 bits. What is greater has no fraction.
        return f"CASE WHEN abs({value}) < 9e15 THEN CAST({name}({value}) AS DOUBLE) ELSE {value} END"

    def ascending(self, value: str) -> str:
        """Return the aggregate that lists values in their order, without nulls."""
        return _ASCENDING[self.name].format(value)

    def by_rank(self, value: str, rank: str, condition: str) -> str:
        """Return the aggregate that lists values where a condition holds, nulls too, the greatest rank first."""
        return _BY_RANK[self.name].format(value=value, rank=rank, condition=condition)

    def element(self, values: str, place: str) -> str:
        """Return one of a list; the first is at 0."""
        place = self.cast(place, "int64")
        if self.name in ("spark", "bigquery"):
            return f"{values}[{place}]" if self.name == "spark" else f"{values}[SAFE_OFFSET({place})]"
        return f"{values}[{place} + 1]"

    def _text(self, value: str) -> str:
        if self.name in ("spark", "bigquery", "snowflake"):  # a backslash escapes there
            return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
        return "'" + value.replace("'", "''") + "'"


_STANDARD = {"string": "VARCHAR", "int64": "BIGINT", "float64": "DOUBLE", "bool": "BOOLEAN", "timestamp": "BIGINT"}
_LETTERS = frozenset({"lower", "upper"})
"""Which letters they change depends on the engine's tables or on the database's locale."""

_MICROSECONDS = {
    "duckdb": "epoch_us({})",
    "postgres": "CAST(extract(epoch FROM {}) * 1000000 AS BIGINT)",
    "spark": "unix_micros({})",
    "bigquery": "unix_micros({})",
    "snowflake": "date_part(epoch_microsecond, {})",
}
_ASCENDING = {
    "duckdb": "list({0} ORDER BY {0}) FILTER (WHERE {0} IS NOT NULL)",
    "postgres": "array_agg({0} ORDER BY {0}) FILTER (WHERE {0} IS NOT NULL)",
    "spark": "sort_array(collect_list({0}))",
    "bigquery": "array_agg({0} IGNORE NULLS ORDER BY {0})",
}
_BY_RANK = {
    "duckdb": "list({value} ORDER BY {rank} DESC) FILTER (WHERE {condition})",
    "postgres": "array_agg({value} ORDER BY {rank} DESC) FILTER (WHERE {condition})",
    # Its lists drop nulls, but not structs that hold one.
    "spark": "transform(sort_array(collect_list(CASE WHEN {condition} THEN struct(-{rank} AS place, {value} AS value) "
    "END)), pair -> pair.value)",
}

DIALECTS = {
    "duckdb": Dialect("duckdb", _STANDARD, wide="HUGEINT"),
    "postgres": Dialect(
        "postgres",
        _STANDARD | {"string": "TEXT", "float64": "DOUBLE PRECISION"},
        nan="CAST('NaN' AS DOUBLE PRECISION)",
        whole="/",
        wide="NUMERIC",
        infinity="CAST('Infinity' AS DOUBLE PRECISION)",
        without=_LETTERS,
    ),
    "spark": Dialect("spark", _STANDARD | {"string": "STRING"}, quote="`", whole="div", without=_LETTERS),
    "bigquery": Dialect(
        "bigquery",
        {"string": "STRING", "int64": "INT64", "float64": "FLOAT64", "bool": "BOOL", "timestamp": "INT64"},
        quote="`",
        nan="CAST('NaN' AS FLOAT64)",
        wide="BIGNUMERIC",
        infinity="CAST('inf' AS FLOAT64)",
        nan_is_greatest=False,
        executed=False,
        without=_LETTERS,
        refused={"last_n": "its lists hold no nulls"},
    ),
    "snowflake": Dialect(
        "snowflake",
        _STANDARD,
        executed=False,
        nan="'NaN'::DOUBLE",
        infinity="'inf'::DOUBLE",
        without=_LETTERS,
        refused={
            "last_n": "its lists hold no nulls",
            "quantile": "its lists hold no infinity, and its own function has another meaning there",
        },
    ),
}
"""Every engine that features are lowered to."""
