"""Plots of an evaluation, as PNG bytes that are the same for the same numbers."""

import io
from collections.abc import Callable
from typing import Any

from falaj.models.evaluation import Curves, Evaluation, Points

_INK, _SOFT, _LINE, _WATER, _SAND = "#1d2a2e", "#637176", "#e2ddd2", "#0f7c8a", "#b7791f"
_DPI = 144


def draw(evaluation: Evaluation) -> dict[str, bytes]:
    """Return the ROC, precision-recall and calibration curves, or how near a regression comes.

    Args:
        evaluation: What to draw.

    Returns:
        File name to PNG bytes: roc.png, precision_recall.png, calibration.png; of a regression
        predicted_and_actual.png, residuals.png.
    """
    points, curves = evaluation.points, evaluation.curves
    if points is not None:
        return {
            "predicted_and_actual.png": _figure(lambda axes: _predicted(axes, evaluation, points)),
            "residuals.png": _figure(lambda axes: _residuals(axes, evaluation, points)),
        }
    assert curves is not None
    return {
        "roc.png": _figure(lambda axes: _roc(axes, evaluation, curves)),
        "precision_recall.png": _figure(lambda axes: _precision_recall(axes, evaluation, curves)),
        "calibration.png": _figure(lambda axes: _calibration(axes, evaluation, curves)),
    }


def _figure(fill: Callable[[Any], None]) -> bytes:
    # Imported where used: it takes half a second. A Figure of its own, because pyplot keeps global state.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2, 3.6), dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    axes.set_axisbelow(True)
    axes.grid(color=_LINE, linewidth=0.8)
    axes.tick_params(colors=_SOFT, labelsize=8, length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    fill(axes)
    axes.xaxis.label.set(color=_SOFT, size=9)
    axes.yaxis.label.set(color=_SOFT, size=9)
    axes.title.set(color=_INK, size=10, weight="bold")
    buffer = io.BytesIO()
    # Without the name of the program, whose version would change the digest of the same picture.
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _roc(axes: Any, evaluation: Evaluation, curves: Curves) -> None:
    axes.plot([0, 1], [0, 1], color=_SOFT, linewidth=1, linestyle=(0, (4, 4)))
    axes.fill_between(curves.false_positive_rate, curves.true_positive_rate, color=_WATER, alpha=0.1, linewidth=0)
    axes.plot(curves.false_positive_rate, curves.true_positive_rate, color=_WATER, linewidth=2)
    axes.set(
        xlabel="false positive rate",
        ylabel="true positive rate",
        title=f"ROC: area {evaluation.metrics['auc']:.3f}",
        xlim=(-0.01, 1.01),
        ylim=(-0.01, 1.02),
    )


def _precision_recall(axes: Any, evaluation: Evaluation, curves: Curves) -> None:
    metrics = evaluation.metrics
    base = metrics["positives"] / metrics["rows"]
    axes.axhline(base, color=_SOFT, linewidth=1, linestyle=(0, (4, 4)))
    axes.fill_between(curves.recall, curves.precision, color=_WATER, alpha=0.1, linewidth=0, step="pre")
    axes.plot(curves.recall, curves.precision, color=_WATER, linewidth=2, drawstyle="steps-pre")
    axes.plot([metrics["recall"]], [metrics["precision"]], "o", color=_SAND, markersize=7)
    axes.annotate(
        f"threshold {evaluation.threshold:.3g}",
        (metrics["recall"], metrics["precision"]),
        xytext=(-8, -14),
        textcoords="offset points",
        ha="right",
        color=_SAND,
        size=8,
    )
    axes.set(
        xlabel="recall",
        ylabel="precision",
        title=f"Precision and recall: average {metrics['average_precision']:.3f}",
        xlim=(-0.01, 1.01),
        ylim=(-0.01, 1.02),
    )


def _calibration(axes: Any, evaluation: Evaluation, curves: Curves) -> None:
    top = max(*curves.mean_score, *curves.observed_share, 1e-3) * 1.08
    axes.plot([0, top], [0, top], color=_SOFT, linewidth=1, linestyle=(0, (4, 4)))
    axes.plot(curves.mean_score, curves.observed_share, "o-", color=_WATER, linewidth=2, markersize=5)
    axes.set(
        xlabel="mean score of a tenth of the rows",
        ylabel="observed share of positives",
        title=f"Calibration: expected error {evaluation.metrics['ece']:.4f}",
        xlim=(-0.02 * top, top),
        ylim=(-0.02 * top, top),
    )


def _predicted(axes: Any, evaluation: Evaluation, points: Points) -> None:
    ends = [min(*points.predicted, *points.actual), max(*points.predicted, *points.actual)]
    axes.plot(ends, ends, color=_SOFT, linewidth=1, linestyle=(0, (4, 4)))
    axes.plot(points.actual, points.predicted, "o", color=_WATER, markersize=3, alpha=0.5, markeredgewidth=0)
    axes.set(
        xlabel="actual",
        ylabel="predicted",
        title=f"Predicted and actual: r2 {evaluation.metrics['r2']:.3f}",
    )


def _residuals(axes: Any, evaluation: Evaluation, points: Points) -> None:
    axes.axvline(0, color=_SOFT, linewidth=1, linestyle=(0, (4, 4)))
    axes.stairs(points.counts, points.edges, color=_WATER, alpha=0.6, fill=True)
    axes.set(
        xlabel="predicted less actual; the outermost bars hold all beyond",
        ylabel="test rows",
        title=f"Residuals: mean size {evaluation.metrics['mae']:.4g}",
    )
