"""Shadow pairs: what a shadow computed beside the decision on the same request, with the outcome."""

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.dataset as ds

MOST_PAIRS = 1_000_000
"""Pairs taken at the most: the newest ones."""

_COLUMNS = ["request_id", "endpoint", "role", "model", "version", "epoch", "score", "at_us", "_seq"]

_PAIRED = """
    WITH taken AS (
        SELECT *, row_number() OVER (PARTITION BY request_id, role ORDER BY _seq) AS place FROM predictions
    ), outcomes AS (
        SELECT *, row_number() OVER (PARTITION BY request_id ORDER BY at_us DESC, received_us DESC, _seq DESC) AS place
        FROM feedback
    )
    SELECT s.request_id, live.model AS live_model, live.version AS live_version, live.at_us,
           live.score AS live_score, s.score AS shadow_score, f.outcome, f.at_us AS outcome_at_us
    FROM taken AS s
    JOIN taken AS live ON live.request_id = s.request_id AND live.role = 'live' AND live.place = 1
    LEFT JOIN outcomes AS f ON f.request_id = s.request_id AND f.place = 1
    WHERE s.role = 'shadow' AND s.place = 1
    ORDER BY s._seq DESC
    LIMIT $limit
"""


class Shadowed(msgspec.Struct, frozen=True):
    """Whose pairs are wanted.

    Attributes:
        endpoint: The endpoint.
        model: The shadow's model.
        version: The shadow's version.
        first_epoch: The endpoint's epoch from which on the version was its shadow.
        last_epoch: The last one; None while it still is.
    """

    endpoint: str
    model: str
    version: int
    first_epoch: int
    last_epoch: int | None = None


def pair(predictions: ds.Dataset, feedback: ds.Dataset, wanted: Shadowed, *, limit: int = MOST_PAIRS) -> pa.Table:
    """Return what a shadow and the version that decided computed for the same requests.

    A record that stands twice counts once; of several outcomes the one that became known last wins.

    Args:
        predictions: Compacted decisions.
        feedback: Compacted outcomes.
        wanted: Whose.
        limit: Most pairs; the newest are taken.

    Returns:
        A row per request that both were asked about, the newest first: `request_id`, `live_model`, `live_version`,
        `at_us`, `live_score` and `shadow_score` (null where that one failed), `outcome` and `outcome_at_us` (null where
        none is known yet).
    """
    field = ds.field
    of_shadow = (field("role") == "shadow") & (field("model") == wanted.model) & (field("version") == wanted.version)
    chosen = (field("endpoint") == wanted.endpoint) & (field("epoch") >= wanted.first_epoch)
    if wanted.last_epoch is not None:
        chosen &= field("epoch") <= wanted.last_epoch
    rows = predictions.to_table(columns=_COLUMNS, filter=chosen & (of_shadow | (field("role") == "live")))
    with duckdb.connect(config={"autoinstall_known_extensions": False}) as engine:
        engine.register("predictions", rows)
        engine.register("feedback", feedback.to_table())
        return engine.sql(_PAIRED, params={"limit": limit}).to_arrow_table()
