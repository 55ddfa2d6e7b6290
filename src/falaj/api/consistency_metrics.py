"""ConsistencyMetrics: what the last check of served features found, as Prometheus text."""

from falaj.app.values.consistency import ConsistencyStatus
from falaj.serving.exposition import family

_OUTCOMES = ("PASS", "FAIL", "INCONCLUSIVE")


def consistency_lines(found: ConsistencyStatus) -> list[str]:
    """Return the lines; before any check there is no figure, so that nothing looks like a zero.

    Example:
        >>> lines = consistency_lines(ConsistencyStatus(300.0, "PASS", "", 4.5, 10, 80, 0, 0.9))
        >>> [line for line in lines if line.startswith("falaj_consistency_mismatches")]
        ['falaj_consistency_mismatches 0']
    """
    every = [((), 0.0 if found.every_s is None else found.every_s)]
    lines = [
        *family("falaj_consistency_every_seconds", "gauge", "Pause between two scheduled checks; 0 for none.", every)
    ]
    if found.age_s is None:
        return lines
    figures = (
        ("falaj_consistency_decisions", "Decisions that the last check compared.", found.decisions),
        ("falaj_consistency_values", "Served values that it compared.", found.compared),
        ("falaj_consistency_mismatches", "Those that are not what the events say.", found.mismatches),
        ("falaj_consistency_non_default_ratio", "Share that was not a default.", found.non_default_share),
        ("falaj_consistency_age_seconds", "How long ago the last check was.", round(found.age_s, 3)),
    )
    for name, text, value in figures:
        lines += family(name, "gauge", text, [((), value)])
    lines += family(
        "falaj_consistency_outcome",
        "gauge",
        "1 for what the last check came to.",
        [((("outcome", outcome),), int(outcome == found.outcome)) for outcome in _OUTCOMES],
    )
    changed = [((("view", view),), values) for view, values in found.changed_by_view.items()]
    lines += family("falaj_consistency_changed_values", "gauge", "Values that late data has changed since.", changed)
    return lines
