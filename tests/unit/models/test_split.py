from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from falaj.definitions.split import by_time, random
from falaj.kernel.errors import DataError
from falaj.models.split import split_rows

LABELS = np.array([0, 1] * 50)
TIMES = np.arange(100) * 10


def test_the_latest_share_tests() -> None:
    train, test, summary = split_rows(by_time(test="20%"), TIMES, LABELS)
    assert test.tolist() == list(range(80, 100)) and train.tolist() == list(range(80))
    assert (summary.train_rows, summary.test_rows, summary.dropped_rows) == (80, 20, 0)
    assert (summary.train_positives, summary.test_positives, summary.test_start_us) == (40, 10, 800)


def test_a_row_trains_only_if_its_label_was_known_when_the_test_began() -> None:
    train, _, summary = split_rows(by_time(test="20%"), TIMES, LABELS, delay_us=100)
    assert train.tolist() == list(range(71))  # 700 + 100 <= 800, and 710 + 100 is not
    assert summary.dropped_rows == 9


def test_rows_whose_label_cannot_be_known_yet_are_left_out() -> None:
    _, test, _ = split_rows(by_time(test="20%"), TIMES, LABELS, delay_us=100, now_us=990)
    assert test.max() == 89


def test_unknown_labels_are_left_out() -> None:
    labels = LABELS.astype(float)
    labels[::7] = np.nan
    train, test, summary = split_rows(by_time(), TIMES, labels)
    assert not np.isnan(labels[np.concatenate([train, test])]).any()
    assert summary.train_rows + summary.test_rows + summary.dropped_rows == 100


def test_rows_of_one_instant_are_not_divided() -> None:
    times = np.repeat(np.arange(10), 10)
    train, test, _ = split_rows(by_time(test="25%"), times, LABELS)
    assert times[train].max() < times[test].min() and len(test) == 30


@given(
    st.lists(st.tuples(st.integers(-1_000, 1_000), st.sampled_from([0.0, 1.0, float("nan")])), max_size=60),
    st.integers(0, 500),
    st.sampled_from([0.1, 0.3, 0.5]),
)
def test_no_row_trains_on_a_label_from_the_tests_future(rows: Any, delay_us: int, share: float) -> None:
    times = np.array([row[0] for row in rows], np.int64)
    labels = np.array([row[1] for row in rows], np.float64)
    try:
        train, test, summary = split_rows(by_time(test=share), times, labels, delay_us)
    except DataError as error:
        assert error.hint
        return
    assert times[train].max() + delay_us <= times[test].min() == summary.test_start_us
    assert np.intersect1d(train, test).size == 0


def test_a_random_split_keeps_the_classes_and_follows_its_seed() -> None:
    labels = np.array([1] * 10 + [0] * 90)
    train, test, summary = split_rows(random(test="20%", seed=1), None, labels)
    assert (summary.test_rows, summary.test_positives, summary.train_positives) == (20, 2, 8)
    assert np.array_equal(np.sort(np.concatenate([train, test])), np.arange(100))
    assert np.array_equal(test, split_rows(random(test="20%", seed=1), None, labels)[1])
    assert not np.array_equal(test, split_rows(random(test="20%", seed=2), None, labels)[1])


@pytest.mark.parametrize(
    ("times", "labels", "delay_us", "message", "hint"),
    [
        ([], [], 0, "no rows whose label is known", "ingest"),
        ([1, 2, 3], [np.nan] * 3, 0, "no rows whose label is known", "delay"),
        ([5, 5, 5, 5], [0, 1, 0, 1], 0, "no training rows", "more history"),
        (list(range(10)), [0, 1] * 5, 100, "no training rows", "shorten the delay"),
        (list(range(10)), [0, 1] * 4 + [0, 0], 0, "all 2 test rows have label 0", "larger share"),
        (list(range(10)), [0] * 8 + [0, 1], 0, "all 8 training rows have label 0", "smaller share"),
        (list(range(10)), [0, 2] * 5, 0, "must be 0 or 1", "label column"),
    ],
)
def test_what_cannot_be_divided_says_what_to_change(
    times: Any, labels: Any, delay_us: int, message: str, hint: str
) -> None:
    with pytest.raises(DataError, match=message) as raised:
        split_rows(by_time(test="20%"), np.array(times, np.int64), np.array(labels), delay_us)
    assert hint in raised.value.hint


def test_a_timeless_source_cannot_be_split_by_time() -> None:
    with pytest.raises(DataError) as raised:
        split_rows(by_time(), None, LABELS)
    assert "random" in raised.value.hint
