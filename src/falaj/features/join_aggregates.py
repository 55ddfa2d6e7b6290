"""JoinAggregates: what each function is, over the rows of one question, in every dialect.

A feature is a formula over aggregates, and features share the aggregates that they have in common.
"""

from dataclasses import dataclass

from falaj.definitions.service_spec import FeatureSpec
from falaj.features.dialect import Dialect
from falaj.kernel.errors import Unsupported

_LEAST, _GREATEST = -(1 << 63), (1 << 63) - 1
_SQUARABLE = 1e100
"""Above it squares may overflow, and values are divided by _SCALE first; what is below its inverse vanishes then."""
_SCALE = 2.0**600
_OVERFLOWS = 2.0**-177
"""A variance of scaled values from which on the true one is beyond float64."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Which rows of a question a feature takes, as conditions over the columns of the join.

    Attributes:
        inside: Whether a row is in the window.
        rank: Of features over ordered rows: a row's number, 1 for the first that counts.
    """

    inside: str
    rank: str = ""


class Formulas:
    """The formulas of a view's features, and the aggregates that they are made of.

    Args:
        dialect: The engine's way of saying things.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self.aggregates: dict[str, str] = {}

    def of(self, feature: FeatureSpec, value: tuple[str, str], rows: Rows) -> str:
        """Return a feature's formula over the aggregates.

        Args:
            feature: The feature.
            value: The column that it reads and its type; empty for a count of rows.
            rows: Which rows it takes.

        Raises:
            Unsupported: The engine lacks a function of the same meaning.
        """
        column, dtype = value
        function, dialect = feature.function, self._dialect
        refuse(function, dialect)
        if function == "last_n":
            taken = f"{rows.inside} AND {rows.rank} <= {feature.n}"
            values = self._of(dialect.by_rank(column, rows.rank, taken))
            there = self._of(f"count(CASE WHEN {rows.inside} THEN 1 END)")
            return f"CASE WHEN {there} > 0 THEN {values} END"  # some engines list nothing as an empty list
        if rows.rank:
            return self._of(f"max(CASE WHEN {rows.inside} AND {rows.rank} = 1 THEN {column} END)")
        if not column:
            return self._of(f"count(CASE WHEN {rows.inside} THEN 1 END)")
        inside = f"CASE WHEN {rows.inside} THEN {column} END"
        if function == "count":
            return self._of(f"count({inside})")
        if function == "count_distinct":  # adding zero makes one of the two zeros
            return self._of(f"count(DISTINCT {f'{inside} + 0.0' if dtype == 'float64' else inside})")
        if function in ("sum", "mean"):
            return self._total(function, inside, dtype)
        if function == "quantile":
            assert feature.q is not None
            return self._poisoned(self._quantile(inside, feature.q), rows.inside, column, dtype)
        if function in ("std", "var"):
            return self._spread(function, inside, dtype)
        return self._poisoned(self._of(f"{function}({inside})"), rows.inside, column, dtype)

    def _of(self, aggregate: str) -> str:
        return self.aggregates.setdefault(aggregate, f"a{len(self.aggregates)}")

    def _total(self, function: str, inside: str, dtype: str) -> str:
        dialect, count = self._dialect, self._of(f"count({inside})")
        if dtype == "float64":
            total = self._of(f"sum({inside})")
        else:
            total = self._of(f"sum(CAST({inside} AS {dialect.wide}))")
            if function == "sum":
                fits = f"{total} >= {_LEAST} AND {total} <= {_GREATEST}"
                return f"CASE WHEN {fits} THEN {dialect.cast(total, 'int64')} END"
        return (
            f"{dialect.cast(total, 'float64')} / nullif({dialect.cast(count, 'float64')}, 0)"
            if function == "mean"
            else total
        )

    def _poisoned(self, formula: str, inside: str, column: str, dtype: str) -> str:
        """Return a formula that is NaN where one of the values is."""
        if dtype != "float64":
            return formula
        nans = self._of(f"count(CASE WHEN {inside} AND {self._dialect.is_nan(column)} THEN 1 END)")
        return f"CASE WHEN {nans} > 0 THEN {self._dialect.nan} ELSE {formula} END"

    def _quantile(self, inside: str, q: float) -> str:
        dialect = self._dialect
        count = self._of(f"count({inside})")
        values = self._of(dialect.ascending(dialect.cast(inside, "float64")))
        place = f"({dialect.literal(q, 'float64')} * {dialect.cast(f'({count} - 1)', 'float64')})"
        below = dialect.cast(f"floor({place})", "float64")
        low, high = dialect.element(values, below), dialect.element(values, f"ceil({place})")
        share = f"({place} - {below})"
        infinite = f"abs({low}) = {dialect.infinity} OR abs({high}) = {dialect.infinity}"  # their distance is no number
        between = (
            f"CASE WHEN {low} = {high} THEN {low} WHEN {infinite} THEN {low} * (1 - {share}) + {high} * {share} "
            f"ELSE {low} + ({high} - {low}) * {share} END"
        )
        return f"CASE WHEN {count} > 0 THEN {between} END"

    def _spread(self, function: str, inside: str, dtype: str) -> str:
        dialect = self._dialect
        name = "stddev_samp" if function == "std" else "var_samp"
        count = self._of(f"count({inside})")
        if dtype != "float64":
            plain = self._of(f"{name}({dialect.cast(inside, 'float64')})")
            return f"CASE WHEN {count} > 1 THEN {plain} END"

        def number(value: float) -> str:
            return dialect.literal(value, "float64")

        size = f"abs({inside})"
        finite = self._of(f"count(CASE WHEN {size} < {dialect.infinity} THEN 1 END)")
        most = self._of(f"max(CASE WHEN {size} < {dialect.infinity} THEN {size} END)")
        plain = self._of(f"{name}(CASE WHEN {size} <= {number(_SQUARABLE)} THEN {inside} END)")
        small = f"CASE WHEN {size} > {number(1 / _SQUARABLE)} THEN {inside} / {number(_SCALE)} ELSE {number(0.0)} END"
        scaled = self._of(f"{name}(CASE WHEN {size} < {dialect.infinity} THEN {small} END)")
        back = f"{scaled} * {number(_SCALE)}"
        if function == "var":
            back = (
                f"CASE WHEN {scaled} >= {number(_OVERFLOWS)} THEN {dialect.infinity} ELSE {back} * {number(_SCALE)} END"
            )
        return (
            f"CASE WHEN {count} < 2 THEN NULL WHEN {finite} < {count} THEN {dialect.nan} "
            f"WHEN {most} <= {number(_SQUARABLE)} THEN {plain} ELSE {back} END"
        )


def refuse(function: str, dialect: Dialect) -> None:
    """Raise if an engine cannot compute an aggregation.

    Raises:
        Unsupported: It cannot.
    """
    if function in dialect.refused:
        raise Unsupported(
            f"{dialect.name} cannot compute {function}: {dialect.refused[function]}",
            hint="set features.engine to one that can: 'falaj reference --out DIR' writes DIR/engines.md, which says",
        )
