"""Control's metrics as Prometheus text: freshness, the check of what was served, and what it watches."""

from collections.abc import Sequence

from falaj.api.consistency_metrics import consistency_lines
from falaj.api.monitor_metrics import monitor_lines
from falaj.app.values.consistency import ConsistencyStatus
from falaj.app.values.figures import Figures
from falaj.app.values.freshness import ViewFreshness
from falaj.features.freshness import BOUNDS_MS
from falaj.serving.exposition import Labels, family, head, histogram


def render_control(views: Sequence[ViewFreshness], checked: ConsistencyStatus, figures: Figures) -> bytes:
    """Return the text.

    Example:
        >>> view = ViewFreshness("cards", "ab12", "tx", 7, 2, 0.5, 3.0, False, 0, None, None, [0] * 21, 0.0)
        >>> print(render_control([view], ConsistencyStatus(None), Figures()).decode().splitlines()[2])
        falaj_view_applied_seq{view="cards",definition="ab12",source="tx"} 7
    """
    named = [(view, _labels(view)) for view in views]
    lines = [
        *family(
            "falaj_view_applied_seq", "gauge", "All rows up to this number are in the view.",
            [(of, view.applied_seq) for view, of in named],
        ),
        *family(
            "falaj_view_lag_rows", "gauge", "Numbers that the source has given out beyond them.",
            [(of, view.lag_rows) for view, of in named],
        ),
        *family(
            "falaj_view_lag_seconds", "gauge", "How long the oldest row that the view does not show has waited.",
            [(of, view.lag_s) for view, of in named],
        ),
        *family(
            "falaj_view_newest_event_age_seconds", "gauge", "How long ago the newest event in the view happened.",
            [(of, view.newest_event_age_s) for view, of in named if view.newest_event_age_s is not None],
        ),
        *family(
            "falaj_view_backfilling", "gauge", "1 while the view is behind the live views of its source.",
            [(of, int(view.backfilling)) for view, of in named],
        ),
        *head("falaj_view_freshness_seconds", "histogram", "From a pushed event's arrival to the next online read."),
    ]  # fmt: skip
    bounds = [f"{bound / 1000:g}" for bound in BOUNDS_MS]
    for view, of in named:
        lines += histogram("falaj_view_freshness_seconds", of, bounds, view.buckets, f"{view.delay_total_s:g}")
    return ("\n".join([*lines, *consistency_lines(checked), *monitor_lines(figures)]) + "\n").encode()


def _labels(view: ViewFreshness) -> Labels:
    return (("view", view.view), ("definition", view.definition), ("source", view.source))
