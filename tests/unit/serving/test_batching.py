"""Batching: one turn, one batch; a bounded queue; one fault touches only its own batch."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from falaj.serving.batching import Batcher


class Turns:
    """A loop that takes its turns when told to."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []

    def later(self, work: Callable[[], None]) -> None:
        self.waiting.append(work)

    def turn(self) -> None:
        waiting, self.waiting = self.waiting, []
        for work in waiting:
            work()


def ignore(_batch: list[str], _error: Exception) -> None:
    pass


def test_a_turns_items_are_one_batch() -> None:
    turns, batches = Turns(), list[list[str]]()
    batcher = Batcher(batches.append, ignore, turns.later, max_rows=10)
    for item in "abc":
        assert batcher.submit(item, 1)
    assert batches == []
    turns.turn()
    assert batches == [["a", "b", "c"]]
    assert (batcher.rows, turns.waiting) == (0, [])


def test_what_is_submitted_while_computing_waits_for_the_next_turn() -> None:
    turns, batches = Turns(), list[list[str]]()

    def compute(batch: list[str]) -> None:
        batches.append(batch)
        if batch == ["a"]:
            batcher.submit("b", 1)

    batcher = Batcher(compute, ignore, turns.later, max_rows=10)
    batcher.submit("a", 1)
    turns.turn()
    turns.turn()
    assert batches == [["a"], ["b"]]


def test_the_limit_counts_rows_and_spares_a_single_large_item() -> None:
    batcher = Batcher[str](lambda _: None, ignore, Turns().later, max_rows=10)
    assert batcher.submit("huge", 50)
    assert not batcher.submit("small", 1)


def test_the_limit_counts_bytes_too_and_spares_a_single_large_item() -> None:
    turns = Turns()
    batcher = Batcher[str](lambda _: None, ignore, turns.later, max_rows=100, max_bytes=10, batch_rows=1)
    assert batcher.submit("huge", 1, 50) and not batcher.submit("small", 1, 1)
    turns.turn()
    assert [batcher.submit("a", 1, 5), batcher.submit("b", 1, 5), batcher.submit("c", 1, 1)] == [True, True, False]
    turns.turn()
    assert (batcher.size_bytes, batcher.submit("c", 1, 5)) == (5, True)


def test_a_fault_fails_its_batch_and_no_other(caplog: pytest.LogCaptureFixture) -> None:
    turns, failed, batches = Turns(), list[list[str]](), list[list[str]]()

    def compute(batch: list[str]) -> None:
        if "bad" in batch:
            raise ZeroDivisionError
        batches.append(batch)

    batcher = Batcher(compute, lambda batch, _: failed.append(batch), turns.later, max_rows=10, batch_rows=2)
    for item in ("a", "bad", "c"):
        batcher.submit(item, 1)
    turns.turn()
    turns.turn()
    assert (failed, batches) == ([["a", "bad"]], [["c"]])
    assert "ZeroDivisionError" in caplog.text


@given(st.lists(st.integers(1, 9), max_size=30), st.integers(1, 12))
def test_every_item_is_computed_once_in_order_and_batches_stay_small(sizes: list[int], batch_rows: int) -> None:
    turns, batches = Turns(), list[list[int]]()
    batcher = Batcher(batches.append, lambda _b, _e: None, turns.later, max_rows=1000, batch_rows=batch_rows)
    for number, rows in enumerate(sizes):
        assert batcher.submit(number, rows)
    while turns.waiting:
        turns.turn()
    assert [number for batch in batches for number in batch] == list(range(len(sizes)))
    for batch in batches:
        assert len(batch) == 1 or sum(sizes[number] for number in batch) <= batch_rows
    assert batcher.rows == 0
