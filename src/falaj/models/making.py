"""Making a model: search what its trainer leaves open, fit it, calibrate it, and export it; one way for everybody.

The training pipeline and the steps that users call in pipelines of their own make models here.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from falaj.definitions.split import Split
from falaj.definitions.trainer import Trainer
from falaj.kernel.errors import DataError
from falaj.models.calibration import SHARE, fit_calibration
from falaj.models.export import Export, export
from falaj.models.runtimes.calibrated import Calibration
from falaj.models.split import Indices, split_rows
from falaj.models.training.fitted import Fitted
from falaj.models.training.rows import TrainingRows
from falaj.models.tuning.automl import search_automl
from falaj.models.tuning.found import Found, in_silence
from falaj.models.tuning.tune import tune
from falaj.models.tuning.validation import Fold


@dataclass(frozen=True)
class Made:
    """A model that could serve.

    Attributes:
        fitted: As the library has it.
        calibration: What makes probabilities of its scores; None for scores as they are.
        exported: Its files.
    """

    fitted: Fitted
    calibration: Calibration | None
    exported: Export

    def params(self, found: Found | None = None) -> dict[str, Any]:
        """Return the parameters as used, with what a search and a calibration say of themselves.

        Args:
            found: What the search ended with; None where nothing was searched.
        """
        searched = {} if found is None else found.params
        made = self.calibration
        calibrated = {} if made is None else {"calibrate": made.method, "calibrate.rows": made.rows}
        return self.fitted.params | searched | calibrated


def search(
    trainer: Trainer,
    rows: TrainingRows,
    folds: Sequence[Fold],
    journal: Path,
    *,
    tell: Callable[[float, str], None] = in_silence,
) -> Found:
    """Find what a trainer leaves open.

    Args:
        trainer: One that searches.
        rows: Training rows.
        folds: Which of them train and which judge.
        journal: The file in which trials that are done are kept.
        tell: Given the share that is done, and words.
    """
    if trainer.automl is not None:
        return search_automl(trainer, rows, folds[0], threads=_threads(), tell=tell)
    return tune(trainer, rows, folds, journal, threads=_threads(), tell=tell)


def make(
    trainer: Trainer,
    rows: TrainingRows,
    held: TrainingRows | None = None,
    method: str = "",
    *,
    parent: tuple[Indices, bytes] | None = None,
    tell: Callable[[float, str], None] = in_silence,
) -> Made:
    """Fit, calibrate and export.

    Args:
        trainer: A plain one.
        rows: What it is fitted to.
        held: What calibrates it, which is none of the fitted rows.
        method: How it is calibrated; empty for not at all.
        parent: The rows to go on with, and the state of the model that is continued; None to learn from nothing.
        tell: Given the share that is done, and words.
    """
    if parent is None:
        fitted = rows.fit(trainer, threads=_threads())
    else:
        fitted = rows.at(parent[0]).fit(trainer, threads=_threads(), parent=parent[1])
    calibration = None
    if method and held is not None:
        tell(0.6, f"calibrating on {len(held.labels):,} rows")
        calibration = fit_calibration(method, fitted.predict(held.matrix), held.labels)
    tell(0.7, "exporting")
    return Made(fitted, calibration, export(fitted, rows.matrix, place=rows.place, calibration=calibration))


def rehearse(trainer: Trainer, rows: TrainingRows, held: TrainingRows, state: bytes = b"") -> NDArray[np.float64]:
    """Return the scores of rows by a model that was not fitted to them, (held rows,).

    Args:
        trainer: A plain one.
        rows: What it is fitted to.
        held: What it is asked about.
        state: Of the model that is continued; empty to learn from nothing.
    """
    return np.asarray(rows.fit(trainer, threads=_threads(), parent=state).predict(held.matrix), np.float64)


def keep_back(
    split: Split, event_us: NDArray[np.int64] | None, labels: NDArray[Any], delay_us: int
) -> tuple[Indices, Indices]:
    """Return which training rows are fitted and which are kept from it: by time the latest, else drawn by class.

    Args:
        split: How test rows were divided.
        event_us: Event times in microseconds, (rows,); None for a timeless source.
        labels: 0 and 1, (rows,).
        delay_us: How long after its event a label becomes known.

    Raises:
        DataError: A part is empty or has one class only.
    """
    try:
        fitted, held, _ = split_rows(Split(split.kind, SHARE, split.seed), event_us, labels, delay_us)
    except DataError as error:
        raise DataError(
            f"training rows cannot be divided to calibrate: {error.message}",
            hint="ingest more history, or leave calibrate out",
        ) from None
    return fitted, held


def _threads() -> int:
    return max(1, os.cpu_count() or 2)
