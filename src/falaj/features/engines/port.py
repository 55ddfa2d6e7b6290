"""What an engine is: something that answers the stored features of views at many instants."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from falaj.definitions.service_spec import ViewSpec


@dataclass(frozen=True, slots=True)
class Questions:
    """The rows that features are asked for.

    Attributes:
        times_us: T of each row in microseconds, int64 without nulls; zeros where no view has time.
        keys: Entity key columns by name, each as long as `times_us`; a null key matches nothing.
    """

    times_us: Any
    keys: Mapping[str, Any] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """How many rows."""
        return len(self.times_us)


class Engine(Protocol):
    """Computes features where the data is. The same questions have the same answers in every engine."""

    @property
    def name(self) -> str:
        """How settings and documents call it."""
        ...

    def check(self, views: Sequence[ViewSpec]) -> None:
        """Raise if it cannot compute a view; nothing is opened or run.

        Raises:
            Unsupported: It has no function of the same meaning as one that a view needs.
        """
        ...

    def answer(
        self, views: Sequence[ViewSpec], questions: Questions, tables: Mapping[str, Any], *, known_time: bool = False
    ) -> dict[str, Any]:
        """Return the features of every view, by column name, each as long as the questions, in their order.

        Args:
            views: Whose features.
            questions: What is asked.
            tables: Per source its rows, as an Arrow table or dataset with `_event_ts`, `_created` and `_ingest_seq`.
            known_time: Take only versions with `created <= T - delay`; one without a created time never counts.

        Raises:
            Unsupported: See `check`.
            DataError: A source's rows are missing or cannot be used.
            ExtraMissing: The engine's library is not installed.
            StorageError: Its server does not answer.
        """
        ...
