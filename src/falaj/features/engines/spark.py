"""Spark: features computed by a Spark session, in this process or on a cluster."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs

from falaj.definitions.service_spec import ViewSpec
from falaj.features.dialect import DIALECTS
from falaj.features.engines.answer import asked_table, in_order, named_columns, rows_of, source_columns
from falaj.features.engines.port import Questions
from falaj.features.engines.support import check_views
from falaj.features.point_in_time_join import events_sql, features_sql
from falaj.kernel.errors import DataError, StorageError
from falaj.kernel.extra import library

_DIALECT = DIALECTS["spark"]
_CONF = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.caseSensitive": "true",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.sql.variable.substitute": "false",  # else a text with ${env:HOME} in it would be another one
    "spark.sql.parser.escapedStringLiterals": "false",
}
"""What the text needs to mean what it says, whatever the session has set."""

_PATTERN = set("*?[]{}\\")
"""Spark reads a path with one of these as a pattern, which may mean other files."""


@dataclass(frozen=True, slots=True)
class SparkEngine:
    """Computes features with Spark 4.

    The files of a source's table are read by Spark itself, so on a cluster they must lie where its workers see them.
    Other rows go there through Arrow.

    Attributes:
        master: Where the session runs when the program has none yet, such as `local[*]`.
    """

    master: str = "local[*]"

    @property
    def name(self) -> str:
        """How settings and documents call it."""
        return "spark"

    def check(self, views: Sequence[ViewSpec]) -> None:
        """Raise if it cannot compute a view."""
        check_views(views, _DIALECT)

    def answer(
        self, views: Sequence[ViewSpec], questions: Questions, tables: Mapping[str, Any], *, known_time: bool = False
    ) -> dict[str, Any]:
        """Return the features of every view; see `Engine`."""
        self.check(views)
        errors, bridge = library("pyspark.errors", "spark"), library("py4j.protocol", "spark")
        columns: dict[str, Any] = {}
        try:
            session = self._session()
            for view in views:
                answer = _answer(session, view, questions, rows_of(view, tables), known_time=known_time)
                columns |= named_columns(view, in_order(answer, "_question", questions.rows))
        except errors.AnalysisException as error:
            raise DataError(f"Spark cannot use the rows: {str(error).partition(chr(10))[0]}") from None
        except (errors.PySparkException, bridge.Py4JError) as error:
            raise StorageError(f"Spark failed: {str(error).partition(chr(10))[0]}", hint="see its log") from error
        return columns

    def _session(self) -> Any:
        """Return a session of our own settings and temporary views beside the program's."""
        sql = library("pyspark.sql", "spark")
        builder = sql.SparkSession.builder.master(self.master).appName("falaj").config("spark.ui.enabled", "false")
        known = sql.SparkSession.getActiveSession()
        session = (builder.getOrCreate() if known is None else known).newSession()
        for name, value in _CONF.items():
            session.conf.set(name, value)
        return session


def _answer(session: Any, view: ViewSpec, questions: Questions, rows: Any, *, known_time: bool) -> pa.Table:
    session.createDataFrame(asked_table(view, questions)).createOrReplaceTempView("asked")
    _rows(session, view, rows).createOrReplaceTempView("source_rows")
    events = session.sql(events_sql(view, "source_rows", _DIALECT, known_time=known_time))
    events.createOrReplaceTempView("events")
    return session.sql(features_sql(view, "events", _DIALECT, known_time=known_time)).toArrow()


def _rows(session: Any, view: ViewSpec, rows: Any) -> Any:
    """Return the source's rows as a frame; Spark reads the files of a table itself."""
    names = source_columns(view)
    files = files_of(rows)
    if not files:
        return session.createDataFrame(rows.select(names) if isinstance(rows, pa.Table) else rows.to_table(names))
    types = library("pyspark.sql.pandas.types", "spark")
    schema = types.from_arrow_schema(pa.schema([rows.schema.field(name) for name in names]))
    return session.read.schema(schema).parquet(*files)


def files_of(rows: Any) -> list[str]:
    """Return the addresses of the local Parquet files that hold exactly these rows; none where there are no such files.

    Args:
        rows: An Arrow table or dataset.
    """
    if not isinstance(rows, ds.FileSystemDataset) or rows.format.default_extname != "parquet":
        return []
    if rows._scan_options:  # a filter, of which nothing public tells
        return []
    system, base = rows.filesystem, ""
    if isinstance(system, pyarrow.fs.SubTreeFileSystem):
        system, base = system.base_fs, system.base_path
    if not isinstance(system, pyarrow.fs.LocalFileSystem):
        return []
    files = [f"file://{base}{name}" for name in rows.files]
    return [] if _PATTERN & set("".join(files)) else files
