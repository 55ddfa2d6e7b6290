"""FeatureView: the features of one entity, or of all that happens, from one source."""

from typing import Any

import msgspec

from falaj.definitions.aggregation import Aggregation
from falaj.definitions.declared import Declared
from falaj.definitions.entity import Entity
from falaj.definitions.expression import parse
from falaj.definitions.ibis_expression import is_ibis, sql_of
from falaj.definitions.source import Source
from falaj.kernel.duration import duration_us, positive_duration_us
from falaj.kernel.errors import DefinitionError
from falaj.kernel.names import check_name


class FeatureView(msgspec.Struct, metaclass=Declared, frozen=True, tag="feature_view"):
    """Plain columns and time-window aggregations of one entity.

    Args:
        name: The view's name; its features are `view:feature`, and `view__feature` as columns.
        entity: What the features describe; None for features of all rows together.
        source: Where the rows come from; it must have the entity's key columns.
        features: Name to `fj.column`, `fj.count`, `fj.sum`, ... .
        ttl: How old a row may be for plain columns and unwindowed first, last and last_non_null; for ever by default.
        owner: Who answers for it.
        transform: Name to a value computed of each row, which features then read like a column: SQL text over the
            source's columns, or an Ibis expression such as `ibis._.amount / 100`, which is kept as that text.
        delay: How long it takes until the rows can be used for these features; by default the source's delay.

    Raises:
        DefinitionError: There are no features, a name cannot be used, or a window stands on a timeless source.

    Example:
        >>> from falaj.definitions.aggregation import sum
        >>> from falaj.definitions.source import Push
        >>> tx = Source("tx", stream=Push(), timestamp="at", schema={"card": "string", "fils": "int64"})
        >>> dirhams = {"dirhams": "fils / 100"}
        >>> spent = {"spent": sum("dirhams", window="1d", where="fils > 0")}
        >>> FeatureView("activity", Entity("card", key="card"), tx, spent, transform=dirhams).keys
        (('card', 'string'),)
    """

    name: str
    entity: Entity | None
    source: Source
    features: dict[str, Aggregation]
    ttl: str | None = None
    owner: str = ""
    transform: dict[str, str] = {}
    delay: str | None = None

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
        if self.delay is not None and duration_us(self.delay, field=f"feature view {self.name!r} delay"):
            self._check_delay()
        if self.transform:
            read = {name: self._transformed(name, text) for name, text in self.transform.items()}
            msgspec.structs.force_setattr(self, "transform", read)

    def _check_delay(self) -> None:
        if self.source.timeless:
            raise DefinitionError(
                f"feature view {self.name!r}: delay={self.delay!r}, and source {self.source.name!r} has no timestamp",
                hint="remove the delay, or declare the source's timestamp",
            )

    def _transformed(self, name: str, given: Any) -> str:
        field = f"feature view {self.name!r} transform {name!r}"
        check_name(field, name)
        text = sql_of(given, self.source.schema, field) if is_ibis(given) else given
        parse(text, field=field)
        return str(text)

    @property
    def keys(self) -> tuple[tuple[str, str], ...]:
        """The entity's key columns and their types; none where there is no entity."""
        return () if self.entity is None else self.entity.keys

    @property
    def ttl_us(self) -> int | None:
        """How old a row may be, in microseconds; None means for ever."""
        return None if self.ttl is None else positive_duration_us(self.ttl)

    @property
    def delay_us(self) -> int:
        """How long it takes until the rows can be used, in microseconds."""
        return self.source.delay_us if self.delay is None else duration_us(self.delay)

    def reads(self, name: str) -> set[str]:
        """Return the source's columns that a feature reads, through its filter and its transforms.

        Args:
            name: The feature.
        """
        feature = self.features[name]
        found = set() if feature.column is None else {feature.column}
        if feature.where is not None:
            found |= {column for column, _ in parse(feature.where, field="where").columns()}
        for column in found & self.transform.keys():
            found |= {read for read, _ in parse(self.transform[column], field="transform").columns()}
        return found - self.transform.keys()
