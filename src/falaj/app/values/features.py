"""Values of the operations on features."""

from typing import Annotated, Any

import msgspec

from falaj.app.values.bounds import SampleSize


class Materialise(msgspec.Struct, frozen=True):
    """Ask for the online store to be brought up to the tables.

    Attributes:
        views: Only these feature views, and those that read the same sources; all by default.
        within_s: Answer after so many seconds, with whatever was done; ask again to go on. 0 to go on to the end.
    """

    views: tuple[str, ...] = ()
    within_s: Annotated[float, msgspec.Meta(ge=0, le=600)] = 0.0


class OnlineQuery(msgspec.Struct, frozen=True):
    """Ask for stored features.

    Attributes:
        service: The feature service.
        entities: Per row its entity keys.
        at: The instant, RFC 3339; None for now.
    """

    service: str
    entities: list[dict[str, Any]]
    at: str | None = None


class OnlineFeatures(msgspec.Struct, frozen=True):
    """Stored features.

    Attributes:
        columns: Feature columns, `view__feature`.
        values: Per row one value per column; None for null, timestamps as RFC 3339.
        statuses: Per row one status per column.
        dtypes: The columns' types.
    """

    columns: tuple[str, ...]
    values: list[list[Any]]
    statuses: list[list[str]]
    dtypes: tuple[str, ...] = ()


class SqlQuery(msgspec.Struct, frozen=True):
    """Ask for a view as SQL text.

    Attributes:
        view: The applied feature view.
        engine: duckdb, postgres, spark, bigquery or snowflake.
    """

    view: str
    engine: str = "duckdb"


class SqlText(msgspec.Struct, frozen=True):
    """A view as SQL text.

    Attributes:
        text: One statement under a comment that says what it reads, and what is left out.
        left_out: The features that the engine cannot compute as they are meant, and why.
    """

    text: str
    left_out: dict[str, str] = {}


class Verify(msgspec.Struct, frozen=True):
    """Ask for served features to be recomputed.

    Attributes:
        endpoint: Only this endpoint's decisions; empty for all.
        sample: Most decisions to check, the newest.
    """

    endpoint: str = ""
    sample: SampleSize = 1000


class VerifyResult(msgspec.Struct, frozen=True):
    """Whether what was served is what the tables say.

    Attributes:
        outcome: PASS, FAIL, or INCONCLUSIVE when there was nothing but defaults to compare.
        reason: One sentence.
        decisions: Decisions checked.
        compared: Values compared.
        non_default_share: Share of them that were not defaults.
        mismatches: Each with request_id, column, served, recomputed and the likely reason.
        changed_since: Values that late data has changed since they were served; no fault, but good to know.
        changed_by_view: The same per view.
        skipped: Why decisions or values were left out, and how many.
    """

    outcome: str
    reason: str
    decisions: int
    compared: int
    non_default_share: float
    mismatches: list[dict[str, Any]]
    changed_since: int
    changed_by_view: dict[str, int] = {}
    skipped: dict[str, int] = {}
