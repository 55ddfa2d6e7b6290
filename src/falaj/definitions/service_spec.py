"""ServiceSpec: a feature service compiled to plain values, as a model version pins it and a gateway reads it."""

import msgspec


class FeatureSpec(msgspec.Struct, frozen=True):
    """One feature of a view.

    Attributes:
        name: The feature's name within its view.
        function: column, count, sum, mean, min, max, std or last.
        column: The stored column it reads; None for a count of rows.
        window_us: The window's length; None for column and unwindowed last.
        dtype: The feature's type.
    """

    name: str
    function: str
    column: str | None
    window_us: int | None
    dtype: str


class ViewSpec(msgspec.Struct, frozen=True):
    """One view: how its entity's events are stored and what is computed from them.

    Attributes:
        name: The view's name.
        digest: Digest of the definition; a changed one is stored beside the old.
        source: The source's name.
        keys: Key columns and their types, in order.
        columns: Source columns that the online record keeps, and their types.
        features: What is computed.
        ttl_us: How old a row may be for plain columns and unwindowed last; None for ever.
        timeless: Whether the source has no time.
        horizon_us: How far back events are kept: the longest window plus the declared lateness.
        has_id: Whether the source has an identity column.
        id_column: That column; None where there is none.
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
        on_demand: The on-demand views.
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
    def entity_keys(self) -> tuple[tuple[str, str], ...]:
        """The distinct key columns of all views and their types, in first-use order."""
        return tuple(dict.fromkeys(key for view in self.views for key in view.keys))
