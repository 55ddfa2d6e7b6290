"""ServiceSpec: a feature service compiled to plain values, as a model version pins it and a gateway reads it."""

from collections.abc import Iterator

import msgspec

from falaj.definitions.expression import Expression

_LEARNABLE = ("string", "int64", "float64", "bool")


class FeatureSpec(msgspec.Struct, frozen=True):
    """One feature of a view.

    Attributes:
        name: The feature's name within its view.
        function: Which function of `definitions.aggregation`.
        column: The stored column it reads; None for a count of rows. Where the definition has a filter, it is a derived
            column that is null where the filter does not hold.
        window_us: The window's length; None for column and for unwindowed first, last and last_non_null.
        dtype: The feature's type; last_n has `list[...]`.
        hop_us: How far the window's beginning moves at once; None for an exact sliding window.
        rows: Of first, last and last_n with a filter: the derived column that is not null in the rows they choose from.
        n: How many values last_n takes.
        q: Which quantile.
        sketch: The sketch that may stand for the values in tiles.
    """

    name: str
    function: str
    column: str | None
    window_us: int | None
    dtype: str
    hop_us: int | None = None
    rows: str | None = None
    n: int | None = None
    q: float | None = None
    sketch: str | None = None

    def start_us(self, at_us: int) -> int:
        """Return when the feature's window begins for an instant; only for a feature with a window.

        Example:
            >>> exact = FeatureSpec("n", "count", None, 100, "int64")
            >>> exact.start_us(1_234), FeatureSpec("n", "count", None, 100, "int64", hop_us=50).start_us(1_234)
            (1134, 1100)
        """
        assert self.window_us is not None
        start_us = at_us - self.window_us
        return start_us if self.hop_us is None else start_us // self.hop_us * self.hop_us


class DerivedSpec(msgspec.Struct, frozen=True):
    """A column that is computed of each row, for a transform or a filter.

    Attributes:
        name: The column's name.
        expression: Its value, bound to the source's columns.
    """

    name: str
    expression: Expression


class ViewSpec(msgspec.Struct, frozen=True):
    """One view: how its entity's events are stored and what is computed from them.

    Attributes:
        name: The view's name.
        digest: Digest of the definition; a changed one is stored beside the old.
        source: The source's name.
        keys: Key columns and their types, in order.
        columns: Columns that the online record keeps, and their types: the source's own, and derived ones.
        features: What is computed.
        ttl_us: How old a row may be for plain columns and unwindowed first, last and last_non_null; None for ever.
        timeless: Whether the source has no time.
        horizon_us: How far back anything is kept: the longest window plus the declared lateness and delay.
        has_id: Whether the source has an identity column.
        id_column: That column; None where there is none.
        derived: Columns that are computed of each row.
        lateness_us: How late events of the source may come.
        delay_us: How long it takes until a row can be used: features at T are those of T less this.
        tile_us: How long the tiles of sawtooth windows are; None where there are none.
        head_us: How far back events are kept as they are, where there are tiles.
    """

    name: str
    digest: str
    source: str
    keys: tuple[tuple[str, str], ...]
    columns: tuple[tuple[str, str], ...]
    features: tuple[FeatureSpec, ...]
    ttl_us: int | None
    timeless: bool
    horizon_us: int
    has_id: bool
    id_column: str | None = None
    derived: tuple[DerivedSpec, ...] = ()
    lateness_us: int = 0
    delay_us: int = 0
    tile_us: int | None = None
    head_us: int = 0

    @property
    def inputs(self) -> tuple[tuple[str, str], ...]:
        """The source's own columns that the view reads, keys aside, and their types."""
        return tuple(dict.fromkeys(self._inputs()))

    def _inputs(self) -> Iterator[tuple[str, str]]:
        derived = {column.name: column.expression for column in self.derived}
        for name, dtype in self.columns:
            yield from derived[name].columns() if name in derived else ((name, dtype),)

    @property
    def namespace(self) -> bytes:
        """The eight bytes under which the online store keeps this view."""
        return bytes.fromhex(self.digest[:16])

    def column_name(self, feature: str) -> str:
        """How datasets and models call a feature of this view."""
        return f"{self.name}__{feature}"


class OnDemandSpec(msgspec.Struct, frozen=True):
    """One on-demand view: its references, its pinned code and its type."""

    name: str
    inputs: tuple[str, ...]
    code: str
    dtype: str


class RequestSpec(msgspec.Struct, frozen=True):
    """One field of the request."""

    name: str
    dtype: str


class ServiceSpec(msgspec.Struct, frozen=True):
    """All that is needed to compute a model's features, offline or online.

    Attributes:
        name: The service's name.
        digest: Digest of everything below.
        views: The stored views.
        on_demand: The on-demand views, each after those that it reads.
        request: The fields of the request.
        outputs: The feature columns and their types, in the model's order: `view__feature` for stored features, the
            bare name for on-demand views and request fields.
    """

    name: str
    digest: str
    views: tuple[ViewSpec, ...]
    on_demand: tuple[OnDemandSpec, ...]
    request: tuple[RequestSpec, ...]
    outputs: tuple[tuple[str, str], ...]

    @property
    def model_inputs(self) -> tuple[tuple[str, str], ...]:
        """The outputs that a model can learn from: timestamps and lists serve on-demand views only."""
        return tuple((name, dtype) for name, dtype in self.outputs if dtype in _LEARNABLE)

    @property
    def entity_keys(self) -> tuple[tuple[str, str], ...]:
        """The distinct key columns of all views and their types, in first-use order."""
        return tuple(dict.fromkeys(key for view in self.views for key in view.keys))

    def column_of(self, reference: str) -> str:
        """Return the output that an input of an on-demand view refers to.

        Example:
            >>> ratio = OnDemandSpec("ratio", ("request:amount",), "...", "float64")
            >>> spec = ServiceSpec("s", "", (), (ratio,), (), ())
            >>> [spec.column_of(one) for one in ("cards:mean_7d", "request:amount", "ratio:ratio")]
            ['cards__mean_7d', 'amount', 'ratio']
        """
        view, _, name = reference.partition(":")
        return name if view == "request" or any(one.name == view for one in self.on_demand) else f"{view}__{name}"
