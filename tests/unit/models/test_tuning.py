"""Tuning tries what it may, ends early what promises little, and goes on where it stopped."""

import itertools
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import falaj as fj
from falaj.definitions.split import Split
from falaj.definitions.trainer import Trainer
from falaj.definitions.tuning import FAMILIES
from falaj.kernel.errors import CorruptionError, DataError, DefinitionError, ExtraMissing
from falaj.models.training.rows import TrainingRows
from falaj.models.tuning.automl import search_automl
from falaj.models.tuning.trial import Journal, Trial
from falaj.models.tuning.tune import tune
from falaj.models.tuning.validation import Fold, folds_of

SPACE = {"learning_rate": fj.search.float(1e-3, 0.3, log=True), "max_depth": fj.search.int(2, 8)}


@pytest.fixture(scope="module")
def rows() -> TrainingRows:
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(800, 4)).astype(np.float32)
    labels = ((matrix[:, 0] > 0) ^ (matrix[:, 1] > 0.5) ^ (rng.random(800) < 0.1)).astype(np.int64)
    matrix[rng.random(matrix.shape) < 0.05] = np.nan
    return TrainingRows(matrix, labels, list("abcd"))


def folds(rows: TrainingRows, count: int = 1) -> list[Fold]:
    return folds_of(fj.split.random(), 0.25, count, None, rows.labels, 0)


def small(make: Callable[..., Trainer] = fj.lightgbm, **options: Any) -> Trainer:
    return fj.tuned(make(num_trees=30), SPACE, **({"trials": 9} | options))


def tried(journal: Path) -> list[dict[str, Any]]:
    return [trial.params for trial in Journal(journal).trials]


@pytest.mark.parametrize("make", [fj.lightgbm, fj.xgboost])
@pytest.mark.parametrize(("prune", "count"), [("median", 1), ("hyperband", 1), ("median", 3)])
def test_an_interrupted_search_goes_on_as_if_nothing_had_been(
    rows: TrainingRows, tmp_path: Path, make: Callable[..., Trainer], prune: str, count: int
) -> None:
    trainer = small(make, prune=prune, folds=count)
    whole = tune(trainer, rows, folds(rows, count), tmp_path / "whole")
    lines = (tmp_path / "whole").read_bytes().splitlines(keepends=True)
    (tmp_path / "cut").write_bytes(b"".join(lines[:6]) + lines[6][:30])
    rest = tune(trainer, rows, folds(rows, count), tmp_path / "cut")
    assert (tmp_path / "cut").read_bytes().splitlines(keepends=True)[:6] == lines[:6]  # done trials were not repeated
    assert [(t.params, t.state, t.value, t.seen) for t in rest.trials] == [
        (t.params, t.state, t.value, t.seen) for t in whole.trials
    ]
    assert rest.trainer == whole.trainer and not rest.trainer.searches
    assert whole.trainer.params["num_trees"] == 30 and 2 <= whole.trainer.params["max_depth"] <= 8
    assert any(trial.state == "pruned" for trial in whole.trials)


def test_another_seed_tries_other_values(rows: TrainingRows, tmp_path: Path) -> None:
    for seed in (0, 1):
        tune(fj.tuned(fj.lightgbm(num_trees=5, seed=seed), SPACE, trials=3), rows, folds(rows), tmp_path / str(seed))
    assert tried(tmp_path / "0") != tried(tmp_path / "1")


def test_a_loss_is_made_small_and_the_best_is_kept(rows: TrainingRows, tmp_path: Path) -> None:
    found = tune(small(metric="log_loss", prune="none"), rows, folds(rows), tmp_path / "journal")
    values = [trial.value or 0.0 for trial in found.trials]
    assert found.value == min(values) < max(values)
    assert found.params == {"search.trials": 9, "search.pruned": 0, "search.log_loss": found.value}


def test_scikit_learn_is_tuned_too_and_choices_are_among_the_values(rows: TrainingRows, tmp_path: Path) -> None:
    space = {"max_depth": fj.search.choice([2, None]), "criterion": fj.search.choice(["gini", "entropy"])}
    trainer = fj.tuned(fj.sklearn("sklearn.tree.DecisionTreeClassifier"), space, trials=4)
    found = tune(trainer, rows, folds(rows), tmp_path / "journal")
    assert {trial.params["max_depth"] for trial in found.trials} <= {2, None}
    assert found.trainer.estimator == "sklearn.tree.DecisionTreeClassifier"


def test_trials_run_together(rows: TrainingRows, tmp_path: Path) -> None:
    """Two fits are under way at the same time: each waits until the other is."""
    together = threading.Barrier(2, timeout=60)

    class Meeting(TrainingRows, frozen=True, eq=False):
        def at(self, rows: Any) -> TrainingRows:
            part = super().at(rows)
            return Meeting(part.matrix, part.labels, part.names)

        def fit(self, *args: Any, **named: Any) -> Any:
            together.wait()
            return super().fit(*args, **named)

    meeting = Meeting(rows.matrix, rows.labels, rows.names)
    found = tune(small(trials=4, parallel=2, prune="none"), meeting, folds(rows), tmp_path / "journal", threads=2)
    assert [trial.number for trial in found.trials] == [0, 1, 2, 3]
    assert len({str(trial.params) for trial in found.trials}) == 4


def test_after_the_timeout_nothing_more_begins(rows: TrainingRows, tmp_path: Path) -> None:
    """Each look at the clock takes ten seconds, and what an interrupted attempt took counts."""
    now = [0.0]

    def ticking() -> float:
        now[0] += 10
        return now[0]

    trainer = small(timeout="60s")
    found = tune(trainer, rows, folds(rows), tmp_path / "journal", monotonic=ticking)
    assert 1 < len(found.trials) < 9
    again = tune(trainer, rows, folds(rows), tmp_path / "journal", monotonic=ticking)
    assert len(again.trials) - len(found.trials) < len(found.trials)


def test_a_parameter_that_does_not_exist_ends_the_search(rows: TrainingRows, tmp_path: Path) -> None:
    trainer = fj.tuned(fj.lightgbm(), {"num_leafs": fj.search.int(2, 8)}, parallel=2)
    with pytest.raises(DefinitionError, match="'num_leafs' does not exist"):
        tune(trainer, rows, folds(rows), tmp_path / "journal")
    assert not tried(tmp_path / "journal")


def test_a_journal_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text('{"no": "trial"}\n')
    with pytest.raises(CorruptionError, match="holds what is no trial"):
        Journal(tmp_path / "journal")


def test_no_trial_with_a_number_is_an_error(rows: TrainingRows, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    journal.add(Trial(0, {"learning_rate": 0.1, "max_depth": 2}, "pruned", 0.5))
    with pytest.raises(DataError, match="none of 1 trials"):
        tune(small(trials=1), rows, folds(rows), tmp_path / "journal")


@pytest.mark.parametrize(("module", "extra"), [("optuna", "tune"), ("flaml", "automl")])
def test_what_is_not_installed_says_how_to(
    rows: TrainingRows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ExtraMissing) as found:
        if extra == "tune":
            tune(small(), rows, folds(rows), tmp_path / "journal")
        else:
            search_automl(fj.automl(budget="1s"), rows, folds(rows)[0])
    assert found.value.hint == f"pip install 'falaj[{extra}]'"


@pytest.mark.filterwarnings("ignore")  # of FLAML's own imports
def test_automl_finds_a_plain_trainer_of_each_family(rows: TrainingRows) -> None:
    for family in FAMILIES["classification"]:
        (fold,) = folds(rows)
        found = search_automl(fj.automl(budget="1s", families=[family]), rows, fold)
        assert {trial.family for trial in found.trials} == {family}
        assert found.value == max(trial.value or 0.0 for trial in found.trials)
        fitted = rows.at(fold[0]).fit(found.trainer, threads=1)  # as it stands, it is what was tried
        judge = rows.at(fold[1])
        order = np.argsort(fitted.predict(judge.matrix))
        assert 0.4 < found.value <= 1 and len(order) == len(judge.labels)
    assert found.trainer.kind == "sklearn" and not found.trainer.searches


@pytest.mark.filterwarnings("ignore")  # of FLAML's own imports
def test_a_number_is_searched_by_its_error(rows: TrainingRows, tmp_path: Path) -> None:
    numbers = np.nan_to_num(rows.matrix[:, 0]) * 10 + np.nan_to_num(rows.matrix[:, 1])
    regression = msgspec.structs.replace(rows, labels=numbers.astype(np.float64), task="regression")
    parts = folds_of(fj.split.random(), 0.25, 1, None, regression.labels, 0, "regression")
    found = tune(small(trials=6), regression, parts, tmp_path / "journal")
    assert found.metric == "rmse" and found.value == min(trial.value or 0.0 for trial in found.trials)
    assert found.value < numbers.std()
    best = search_automl(fj.automl(budget="2s", families=["extra_trees"], metric="r2"), regression, parts[0])
    assert best.trainer.estimator == "sklearn.ensemble.ExtraTreesRegressor" and best.value > 0.5
    best = search_automl(fj.automl(budget="2s", metric="r2"), regression, parts[0])
    assert {trial.family for trial in best.trials} <= {*FAMILIES["regression"]} and best.value > 0.5


# --- Which rows train and which judge --------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 1 << 30), st.integers(60, 300), st.integers(1, 4), st.integers(0, 5), st.booleans())
def test_by_time_a_row_trains_only_if_its_label_was_known_when_those_that_judge_begin(
    seed: int, count: int, turns: int, delay: int, shuffled: bool
) -> None:
    rng = np.random.default_rng(seed)
    event_us = rng.permutation(count) if shuffled else np.arange(count)
    labels = np.arange(count) % 2
    rng.shuffle(labels)
    try:
        found = folds_of(Split("time", 0.2), 0.25, turns, event_us, labels, delay)
    except DataError:
        return  # a part of one class
    assert len(found) == turns
    for train, judge in found:
        assert event_us[train].max() + max(delay, 1) <= event_us[judge].min()
        assert not {*train.tolist()} & {*judge.tolist()}
    for (_, earlier), (_, later) in itertools.pairwise(found):
        assert event_us[earlier].max() < event_us[later].min()


def test_at_random_every_row_judges_once() -> None:
    labels = np.r_[np.zeros(90, np.int64), np.ones(10, np.int64)]
    found = folds_of(fj.split.random(seed=4), 0.2, 5, None, labels, 0)
    assert sorted(np.concatenate([judge for _, judge in found]).tolist()) == list(range(100))
    assert all(labels[judge].sum() == 2 and len(train) == 80 for train, judge in found)
    with pytest.raises(DataError, match="10 rows of one kind"):
        folds_of(fj.split.random(), 0.2, 11, None, labels, 0)


def test_rows_that_cannot_be_divided_say_whose_they_are() -> None:
    labels = np.r_[np.zeros(90, np.int64), np.ones(10, np.int64)]
    with pytest.raises(DataError, match="training rows cannot be divided again"):
        folds_of(fj.split.by_time(), 0.05, 1, np.arange(100), labels, 0)
