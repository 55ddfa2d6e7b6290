"""SourceWatch: when a source is stale, and how bad its newest rows may be, before somebody is told."""

from collections.abc import Mapping

import msgspec

from falaj.definitions.declared import Declared
from falaj.kernel.duration import positive_duration_us
from falaj.kernel.errors import DefinitionError


class SourceWatch(msgspec.Struct, metaclass=Declared, frozen=True):
    """Watching of a source.

    Args:
        stale_after: How long no row may arrive, such as "1h"; None for as long as it takes.
        max_failing: The share of new rows that may break any one of the source's checks, those that reject and those
            that warn; None for any.
        max_missing: Column to the share of new rows that may have no value there.
        window: How many new rows one judgement looks at, at least.

    Raises:
        DefinitionError: A value is out of range.
    """

    stale_after: str | None = None
    max_failing: float | None = None
    max_missing: Mapping[str, float] = {}
    window: int = 1000

    def __post_init__(self) -> None:
        if self.stale_after is not None:
            positive_duration_us(self.stale_after, field="watch stale_after")
        shares = [*self.max_missing.values(), *([] if self.max_failing is None else [self.max_failing])]
        if self.window < 100 or any(not 0 <= share < 1 for share in shares):
            raise DefinitionError(
                f"watch(max_failing={self.max_failing}, max_missing={dict(self.max_missing)}, window={self.window}) "
                "is out of range",
                hint="shares are from 0 to below 1, and window is at least 100",
            )

    @property
    def stale_after_us(self) -> int | None:
        """How long no row may arrive, in microseconds."""
        return None if self.stale_after is None else positive_duration_us(self.stale_after)

    @property
    def judges_rows(self) -> bool:
        """Whether it looks at the rows themselves."""
        return self.max_failing is not None or bool(self.max_missing)


def watch(
    *,
    stale_after: str | None = None,
    max_failing: float | None = None,
    max_missing: Mapping[str, float] | None = None,
    window: int = 1000,
) -> SourceWatch:
    """Declare when somebody is told about a source."""
    return SourceWatch(stale_after, max_failing, max_missing or {}, window)
