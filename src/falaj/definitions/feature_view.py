"""FeatureView: the features of one entity from one source."""

import msgspec

from falaj.definitions.aggregation import Aggregation
from falaj.definitions.entity import Entity
from falaj.definitions.source import Source
from falaj.kernel.duration import positive_duration_us
from falaj.kernel.errors import DefinitionError
from falaj.kernel.names import check_name


class FeatureView(msgspec.Struct, frozen=True, tag="feature_view"):
    """Plain columns and time-window aggregations of one entity.

    Args:
        name: The view's name; its features are `view:feature`, and `view__feature` as columns.
        entity: What the features describe.
        source: Where the rows come from; it must have the entity's key columns.
        features: Name to `fj.column`, `fj.count`, `fj.sum`, ... .
        ttl: How old a row may be for plain columns and unwindowed last; for ever by default.
        owner: Who answers for it.

    Raises:
        DefinitionError: There are no features, a name cannot be used, or a window stands on a timeless source.
    """

    name: str
    entity: Entity
    source: Source
    features: dict[str, Aggregation]
    ttl: str | None = None
    owner: str = ""

    def __post_init__(self) -> None:
        check_name("feature view", self.name)
        if not self.features:
            raise DefinitionError(f"feature view {self.name!r} has no features", hint="add at least one")
        for name, feature in self.features.items():
            check_name(f"feature view {self.name!r} feature", name)
            if not isinstance(feature, Aggregation):
                raise DefinitionError(
                    f"feature view {self.name!r}: {name!r} is {feature!r}", hint="use fj.column, fj.count, fj.sum, ..."
                )
            if self.source.timeless and feature.function != "column":
                raise DefinitionError(
                    f"feature view {self.name!r}: {name!r} needs time; source {self.source.name!r} has no timestamp",
                    hint="declare the source's timestamp, or use fj.column",
                )
        if self.ttl is not None:
            positive_duration_us(self.ttl, field=f"feature view {self.name!r} ttl")

    @property
    def ttl_us(self) -> int | None:
        """How old a row may be, in microseconds; None means for ever."""
        return None if self.ttl is None else positive_duration_us(self.ttl)
