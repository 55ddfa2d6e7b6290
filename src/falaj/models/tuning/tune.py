"""Tuning by Optuna: trials that learn from those before them (TPE, Bergstra et al. 2011), and end early."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from falaj.definitions.gate import HIGHER_IS_BETTER
from falaj.definitions.search import Range
from falaj.definitions.trainer import Trainer
from falaj.definitions.tuning import Tuning
from falaj.kernel.digest import digest_value
from falaj.kernel.extra import library
from falaj.models.runtimes.port import Scores
from falaj.models.training.rounds import Rounds
from falaj.models.training.rows import TrainingRows
from falaj.models.tuning.found import Found, best_of, in_silence, measured, metric_of
from falaj.models.tuning.trial import Journal, Trial
from falaj.models.tuning.validation import Fold

_LOOKS = 20
"""How often a boosted model is looked at before its last round."""
_BOOSTED = ("lightgbm", "xgboost")


class _PrunedError(Exception):
    """Ends a fit whose trial promises little."""


def tune(
    trainer: Trainer,
    rows: TrainingRows,
    folds: Sequence[Fold],
    journal: Path,
    *,
    threads: int = 1,
    tell: Callable[[float, str], None] = in_silence,
    monotonic: Callable[[], float] = time.monotonic,
) -> Found:
    """Find the parameters that a trainer leaves open.

    With one trial at a time, the same rows and seed give the same trials, also when they are interrupted: what a trial
    tries depends on the seed and on the trials that were done before it, which the journal has.

    Args:
        trainer: With its tuning.
        rows: Training rows; no test row is among them.
        folds: Which of them train and which judge.
        journal: The file of trials that are done; those that are in it already are not done again.
        threads: How many threads all trials may use together.
        tell: Given the share that is done, and words; may raise to end the search.
        monotonic: Seconds that never go back.

    Raises:
        ExtraMissing: Optuna is not installed.
        DefinitionError: The library does not know a parameter.
        DataError: No trial came to a number.
    """
    assert trainer.tuning is not None
    search = _Search(trainer, rows, folds, Journal(journal), threads, tell, monotonic)
    search.run()
    best = best_of(search.journal.trials, search.metric)
    assert best.value is not None
    return Found(with_params(trainer, best.params), search.metric, best.value, tuple(search.journal.trials))


def with_params(trainer: Trainer, params: dict[str, Any]) -> Trainer:
    """Return the plain trainer that one choice of parameters makes.

    Args:
        trainer: The tuned one.
        params: What was chosen.
    """
    return msgspec.structs.replace(trainer, params=trainer.params | params, tuning=None)


class _Search:
    def __init__(
        self, trainer: Trainer, rows: TrainingRows, folds: Sequence[Fold], journal: Journal, threads: int,
        tell: Callable[[float, str], None], monotonic: Callable[[], float],
    ) -> None:  # fmt: skip
        assert trainer.tuning is not None
        self._optuna = library("optuna", "tune")
        self._optuna.logging.set_verbosity(self._optuna.logging.WARNING)
        self._trainer, self._tuning = trainer, trainer.tuning
        self._task, self.metric = rows.task, metric_of(rows.task, trainer.tuning.metric)
        self._rows = [(rows.at(train), rows.at(judge)) for train, judge in folds]
        self.journal = journal
        self._threads = max(1, threads // self._tuning.parallel)
        self._tell = tell
        self._monotonic = monotonic
        self._space = {name: self._distribution(found) for name, found in self._tuning.space.items()}
        self._every = max(1, _most_trees(trainer) // _LOOKS)
        self._study = self._new_study()
        self._lock = threading.Lock()
        self._running = 0
        self._ended = False
        spent_s = sum(trial.seconds for trial in journal.trials) / self._tuning.parallel
        limit_s = self._tuning.timeout_s
        self._deadline = None if limit_s is None else monotonic() + limit_s - spent_s

    def run(self) -> None:
        if self._tuning.parallel == 1:
            self._work()
            return
        with ThreadPoolExecutor(self._tuning.parallel) as pool:
            for each in [pool.submit(self._work) for _ in range(self._tuning.parallel)]:
                each.result()

    def _work(self) -> None:
        try:
            while (asked := self._ask()) is not None:
                began = self._monotonic()
                value, pruned = self._tried(asked)
                self._done(asked, value, self._monotonic() - began, pruned=pruned)
        finally:
            self._ended = True  # whatever ends one thread, the others begin nothing more

    def _ask(self) -> Any:
        with self._lock:
            done = len(self.journal.trials)
            late = self._deadline is not None and self._monotonic() >= self._deadline
            if self._ended or done + self._running >= self._tuning.trials or (late and done + self._running):
                return None
            seed = int(digest_value([self._trainer.seed, done + self._running])[:8], 16)
            self._study.sampler = self._optuna.samplers.TPESampler(seed=seed)
            self._running += 1
            return self._study.ask(self._space)

    def _done(self, asked: Any, value: float, seconds: float, *, pruned: bool) -> None:
        states = self._optuna.trial.TrialState
        number = np.isfinite(value)
        with self._lock:
            self._running -= 1
            kept = states.PRUNED if pruned or not number else states.COMPLETE
            frozen = self._study.tell(asked, value if kept is states.COMPLETE else None, kept)
            found = Trial(
                len(self.journal.trials),
                asked.params,
                "pruned" if pruned else "done",
                float(value) if number else None,
                tuple(frozen.intermediate_values.items()),
                round(seconds, 3),
                notes=frozen.system_attrs,
            )
            self.journal.add(found)
            tried = len(self.journal.trials)
            shown = "ended early" if pruned else f"{self.metric} {value:.4f}"
            self._tell(tried / self._tuning.trials, f"trial {tried} of {self._tuning.trials}: {shown}")

    def _tried(self, asked: Any) -> tuple[float, bool]:
        """Return a trial's metric, and whether it was ended early."""
        trainer = with_params(self._trainer, asked.params)
        values: list[float] = []
        try:
            for train, judge in self._rows:
                fitted = train.fit(trainer, threads=self._threads, rounds=self._looks(asked, judge))
                values.append(measured(self._task, self.metric, fitted.predict(judge.matrix), judge.labels))
                if len(values) < len(self._rows):
                    self._report(asked, float(np.mean(values)), len(values))
        except _PrunedError as pruned:
            return float(pruned.args[0]), True
        return float(np.mean(values)), False

    def _looks(self, asked: Any, judge: TrainingRows) -> Rounds | None:
        if self._trainer.kind not in _BOOSTED or len(self._rows) > 1 or self._tuning.prune == "none":
            return None

        def look(done: int, scores: Scores) -> None:
            self._report(asked, measured(self._task, self.metric, scores, judge.labels), done)

        return Rounds(judge.matrix, self._every, look)

    def _report(self, asked: Any, value: float, step: int) -> None:
        with self._lock:
            asked.report(value, step)
            if asked.should_prune():
                raise _PrunedError(value)

    def _new_study(self) -> Any:
        optuna = self._optuna
        direction = "maximize" if HIGHER_IS_BETTER[self.metric] else "minimize"
        study = optuna.create_study(direction=direction, pruner=self._pruner(), study_name="falaj")
        states = optuna.trial.TrialState
        for trial in self.journal.trials:
            complete = trial.state == "done" and trial.value is not None
            study.add_trial(
                optuna.trial.create_trial(
                    state=states.COMPLETE if complete else states.PRUNED,
                    params=trial.params,
                    distributions=self._space,
                    value=trial.value if complete else None,
                    intermediate_values=dict(trial.seen),
                    system_attrs=trial.notes,
                )
            )
        return study

    def _pruner(self) -> Any:
        pruners, folds = self._optuna.pruners, len(self._rows)
        least, most = (1, folds) if folds > 1 else (self._every, max(self._every, _most_trees(self._trainer)))
        if self._tuning.prune == "hyperband":
            return pruners.HyperbandPruner(min_resource=least, max_resource=most)
        return pruners.MedianPruner() if self._tuning.prune == "median" else pruners.NopPruner()

    def _distribution(self, found: Range) -> Any:
        distributions = self._optuna.distributions
        if found.kind == "choice":
            return distributions.CategoricalDistribution(tuple(found.values))
        kind = distributions.IntDistribution if found.kind == "int" else distributions.FloatDistribution
        return kind(found.low, found.high, log=found.log)


def _most_trees(trainer: Trainer) -> int:
    tuning: Tuning | None = trainer.tuning
    searched = tuning.space.get("num_trees") if tuning is not None else None
    if searched is not None:
        return max([int(value) for value in searched.values] or [int(searched.high)])
    return int(trainer.params.get("num_trees", 100))
