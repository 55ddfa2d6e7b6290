"""Source: where raw events or rows come from, with their timestamps, identity and checks."""

from collections.abc import Sequence

import msgspec

from falaj.definitions.check import Check
from falaj.definitions.declared import Declared
from falaj.definitions.dtype import check_dtype
from falaj.definitions.source_watch import SourceWatch
from falaj.kernel.duration import duration_us
from falaj.kernel.errors import DefinitionError
from falaj.kernel.names import check_name


class Parquet(msgspec.Struct, metaclass=Declared, frozen=True, tag="parquet"):
    """Parquet files.

    Args:
        path: A path or a glob pattern, relative to the project.
    """

    path: str


class Csv(msgspec.Struct, metaclass=Declared, frozen=True, tag="csv"):
    """CSV files with a header line, plain or gzip, UTF-8.

    Args:
        path: A path or a glob pattern, relative to the project.
        delimiter: One character.
    """

    path: str
    delimiter: str = ","


class Push(msgspec.Struct, metaclass=Declared, frozen=True, tag="push"):
    """Events that arrive by `falaj push` and `POST /v1/events/{source}`."""


class Follow(msgspec.Struct, metaclass=Declared, frozen=True, tag="follow"):
    """Events that other programs append to files, one JSON object a line; control takes them as they come.

    Args:
        path: A path or a glob pattern, relative to the project. A file is known by its first line: it may be renamed.

    Raises:
        DefinitionError: The path is empty.
    """

    path: str

    def __post_init__(self) -> None:
        if not self.path.strip():
            raise DefinitionError("follow has an empty path", hint="name the files: fj.Follow('data/events/*.jsonl')")


class Source(msgspec.Struct, metaclass=Declared, frozen=True):
    """Raw events or rows.

    Args:
        name: The source's name.
        batch: Files to ingest.
        stream: Where events arrive one by one: pushed, or appended to files that are followed.
        id: The column that identifies an event: the same id counts once; with a later `created` it corrects.
        timestamp: The column that says when it happened. None: a timeless source, whose rows are always visible
            and which admits no windows.
        created: The column that says when it became known.
        schema: Column types, by name; those left out are read from the files. A source without files needs it.
        checks: Rules that reject or warn.
        lateness: How late events may come and still be placed exactly for past instants, e.g. "7d".
        delay: How long it takes until a row can be used, e.g. "1d" of a nightly file: features at T are those of
            T less the delay, in training and in serving alike.
        owner: Who answers for it.
        watch: When somebody is told that it is stale or that its rows are bad; None for never.

    Raises:
        DefinitionError: There is neither batch nor stream, or a column is misnamed.

    Example:
        >>> Source("tx", batch=Parquet("data/*.parquet"), id="id", timestamp="at").timeless
        False
    """

    name: str
    batch: Parquet | Csv | None = None
    stream: Push | Follow | None = None
    id: str | None = None
    timestamp: str | None = None
    created: str | None = None
    schema: dict[str, str] = {}
    checks: Sequence[Check] = ()
    lateness: str = "0s"
    owner: str = ""
    delay: str = "0s"
    watch: SourceWatch | None = None

    def __post_init__(self) -> None:
        check_name("source", self.name)
        if self.batch is None and self.stream is None:
            raise DefinitionError(
                f"source {self.name!r} has neither batch nor stream",
                hint="add batch=fj.Parquet('data/*.parquet') or stream=fj.Push()",
            )
        if self.batch is None and not self.schema:
            raise DefinitionError(
                f"source {self.name!r} has no files to read its types from",
                hint="declare them: schema={'card_id': 'string', 'amount': 'float64', ...}",
            )
        for field in ("id", "timestamp", "created"):
            column = getattr(self, field)
            if column is not None:
                check_name(f"source {self.name!r} {field}", column)
        for column, dtype in self.schema.items():
            check_name(f"source {self.name!r} column", column)
            check_dtype(f"source {self.name!r} column {column!r}", dtype)
        if self.timestamp is None and self.created is not None:
            raise DefinitionError(
                f"source {self.name!r} declares created={self.created!r} but no timestamp", hint="declare timestamp too"
            )
        duration_us(self.lateness, field=f"source {self.name!r} lateness")
        if duration_us(self.delay, field=f"source {self.name!r} delay") and self.timestamp is None:
            raise DefinitionError(
                f"source {self.name!r} declares delay={self.delay!r} but no timestamp", hint="declare timestamp too"
            )

    @property
    def timeless(self) -> bool:
        """Whether its rows have no time."""
        return self.timestamp is None

    @property
    def lateness_us(self) -> int:
        """How late events may come, in microseconds."""
        return duration_us(self.lateness)

    @property
    def delay_us(self) -> int:
        """How long it takes until a row can be used, in microseconds."""
        return duration_us(self.delay)
