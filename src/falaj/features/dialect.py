"""Dialect: how an engine writes names, literals, types and the few functions that differ."""

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
        executed: Whether this project runs its text; where not, the text is only as good as its author.
        without: Expressions of which it has no function of the same meaning.
    """

    name: str
    types: dict[str, str]
    quote: str = '"'
    nan: str = "CAST('NaN' AS DOUBLE)"
    whole: str = "//"
    executed: bool = True
    without: frozenset[str] = field(default_factory=frozenset)

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

    def _text(self, value: str) -> str:
        if self.name in ("spark", "bigquery", "snowflake"):  # a backslash escapes there
            return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
        return "'" + value.replace("'", "''") + "'"


_STANDARD = {"string": "VARCHAR", "int64": "BIGINT", "float64": "DOUBLE", "bool": "BOOLEAN", "timestamp": "BIGINT"}
_LOCAL = frozenset({"lower", "upper"})

DIALECTS = {
    "duckdb": Dialect("duckdb", _STANDARD),
    "postgres": Dialect(
        "postgres",
        _STANDARD | {"string": "TEXT", "float64": "DOUBLE PRECISION"},
        nan="CAST('NaN' AS DOUBLE PRECISION)",
        whole="/",
        without=_LOCAL,  # which letters they change depends on the database's locale
    ),
    "spark": Dialect("spark", _STANDARD | {"string": "STRING"}, quote="`", whole="div"),
    "bigquery": Dialect(
        "bigquery",
        {"string": "STRING", "int64": "INT64", "float64": "FLOAT64", "bool": "BOOL", "timestamp": "INT64"},
        quote="`",
        nan="CAST('NaN' AS FLOAT64)",
        executed=False,
    ),
    "snowflake": Dialect("snowflake", _STANDARD, executed=False, nan="'NaN'::DOUBLE"),
}
"""Every engine that features are lowered to."""
