"""A Python model's process: every call gets its own scores, and whoever brings it down alone gets the error."""

import asyncio
import os
import re
import signal
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st

from falaj.kernel.errors import FalajError, Overloaded, Timeout
from falaj.models.python.runtime import PythonRuntime
from falaj.serving.model_processes import ModelProcesses
from falaj.serving.stats import WorkerStats
from support.python_models import EAT, EXIT, HANG, NAN, RAISE, SHORT, SLOW, row, runtime, started

Result = Any


class Asked:
    """A model's process in a loop, and what it answered."""

    def __init__(self, model: PythonRuntime) -> None:
        self.model = model
        self.stats = WorkerStats(worker="gateway-0")
        self.processes = ModelProcesses(asyncio.get_running_loop(), self.stats)
        self.processes.keep([model])

    def ask(self, matrix: Any) -> "asyncio.Future[Result]":
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self.processes.submit(self.model, matrix, future.set_result)
        return future

    async def ask_all(self, *firsts: float) -> list[Result]:
        return list(await asyncio.gather(*(self.ask(row(first)) for first in firsts)))

    async def close(self) -> None:
        self.processes.close()
        await asyncio.to_thread(self.processes.wait)


def run(model: PythonRuntime, work: Callable[[Asked], Awaitable[None]]) -> WorkerStats:
    async def main() -> WorkerStats:
        asked = Asked(model)
        try:
            async with asyncio.timeout(60):
                await work(asked)
        finally:
            await asked.close()
        return asked.stats

    return asyncio.run(main())


@pytest.fixture
def model(tmp_path: Path) -> Iterator[PythonRuntime]:
    made = runtime(tmp_path)
    yield made
    made.close()


def test_each_call_gets_its_own_scores(model: PythonRuntime) -> None:
    async def work(asked: Asked) -> None:
        matrices = [np.arange(2 * rows, dtype=np.float32).reshape(rows, 2) / 100 for rows in (1, 3, 600, 2, 1)]
        for matrix, scores in zip(matrices, await asyncio.gather(*map(asked.ask, matrices)), strict=True):
            assert scores.tolist() == matrix.sum(axis=1, dtype=np.float64).tolist()
        assert asked.processes.rows == 0

    stats = run(model, work)
    assert (stats.python_ends, stats.python_timeouts) == (0, 0)


@pytest.mark.parametrize(
    ("what", "told"),
    [
        (RAISE, "raised KeyError$"),  # and not with what: that may be none of the caller's business, and is in the log
        (SHORT, "raised ValueError$"),
        (EAT, r"raised \w*MemoryError$"),
        (EXIT, "its Python process ended during predict$"),
        (HANG, "took longer than 300 ms"),
    ],
)
def test_whoever_brings_it_down_alone_gets_the_error(model: PythonRuntime, what: float, told: str) -> None:
    async def work(asked: Asked) -> None:
        *before, bad, after = await asked.ask_all(1.0, 2.0, what, 3.0)
        assert [scores.tolist() for scores in (*before, after)] == [[3.0], [4.0], [5.0]]
        assert isinstance(bad, FalajError)
        assert re.search(told, bad.message), bad.message
        assert (await asked.ask(row(4.0))).tolist() == [6.0]

    stats = run(model, work)
    assert stats.python_timeouts == (2 if what == HANG else 0)
    assert stats.python_ends == {HANG: 2, EXIT: 3}.get(what, 0)


def test_what_a_class_raises_stands_in_its_log(model: PythonRuntime) -> None:
    async def work(asked: Asked) -> None:
        (bad,) = await asked.ask_all(RAISE)
        assert "fourteen" not in f"{bad.message} {bad.hint}"

    run(model, work)
    assert "KeyError: 'fourteen'" in model.log.read_text()


def test_of_logs_that_nobody_writes_the_newest_are_kept(model: PythonRuntime) -> None:
    olds = [model.log.with_name(f"gone-{number}.log") for number in range(30)]
    for number, old in enumerate(olds):
        old.write_text("what it said")
        os.utime(old, (number, number))
    os.utime(model.log, (0, 0))  # the oldest, and in use

    async def work(asked: Asked) -> None:
        await asked.ask_all(1.0)

    run(model, work)
    assert sorted(model.log.parent.glob("*.log")) == sorted([model.log, *olds[-20:]])


def test_what_is_no_number_is_one_rows_matter(model: PythonRuntime) -> None:
    async def work(asked: Asked) -> None:
        scores = await asked.ask(np.array([[1, 2], [NAN, 2]], np.float32))
        assert scores[0] == 3.0 and np.isnan(scores[1])

    run(model, work)


def test_a_killed_process_costs_no_call(model: PythonRuntime) -> None:
    async def work(asked: Asked) -> None:
        first = started(model.log)[-1]
        waiting = [asked.ask(row(SLOW)) for _ in range(3)]
        await asyncio.sleep(0)
        os.killpg(first, signal.SIGKILL)
        assert [(await one).tolist() for one in waiting] == [[SLOW + 2.0]] * 3
        assert started(model.log)[-1] != first

    assert run(model, work).python_ends == 1


def test_who_brings_it_down_is_tried_again_after_all_others(model: PythonRuntime) -> None:
    async def work(asked: Asked) -> None:
        order: list[float] = []
        waiting = []

        def note(first: float, _future: object) -> None:
            order.append(first)

        for first in (1.0, EXIT, 2.0, EXIT, 3.0):
            waiting.append(asked.ask(row(first)))
            waiting[-1].add_done_callback(partial(note, first))
        await asyncio.gather(*waiting)
        assert order == [1.0, 2.0, 3.0, EXIT, EXIT]

    assert run(model, work).python_ends == 5


def test_a_process_that_is_killed_while_idle_is_back_before_it_is_asked(model: PythonRuntime) -> None:
    async def work(asked: Asked) -> None:
        os.killpg(started(model.log)[-1], signal.SIGKILL)
        while len(started(model.log)) < 2:
            await asyncio.sleep(0.005)
        assert (await asked.ask(row(1.0))).tolist() == [3.0]

    run(model, work)


def test_rows_and_bytes_that_wait_are_bounded(tmp_path: Path) -> None:
    model = runtime(tmp_path, max_queue_rows=4, max_queue_bytes=10 * 8)

    async def work(asked: Asked) -> None:
        taken = [asked.ask(row(SLOW)) for _ in range(4)]
        with pytest.raises(Overloaded, match="too many rows wait"):
            asked.ask(row(1.0))
        assert [(await one).tolist() for one in taken] == [[SLOW + 2.0]] * 4
        alone = asked.ask(np.ones((9, 2), np.float32))  # one is always taken when nothing waits
        with pytest.raises(Overloaded):
            asked.ask(row(1.0))
        assert (await alone).tolist() == [2.0] * 9
        assert asked.processes.rows == 0

    run(model, work)


def test_a_request_is_answered_at_its_deadline_whatever_the_process_does(tmp_path: Path) -> None:
    model = runtime(tmp_path, timeout_ms=60_000, wait_ms=200)

    async def work(asked: Asked) -> None:
        for one in await asked.ask_all(HANG, 1.0):
            assert isinstance(one, Timeout)

    assert run(model, work).python_ends == 0


def test_a_model_that_serves_no_more_ends_when_its_last_calls_are_answered(tmp_path: Path) -> None:
    model = runtime(tmp_path)

    async def work(asked: Asked) -> None:
        pid = started(model.log)[-1]
        last = asked.ask(row(SLOW))
        asked.processes.keep([])
        assert (await last).tolist() == [SLOW + 2.0]
        while (Path("/proc") / str(pid)).exists():
            await asyncio.sleep(0.01)
        while list(tmp_path.glob("work-*")):
            await asyncio.sleep(0.01)

    run(model, work)


def test_nothing_of_the_callers_environment_reaches_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FALAJ_TOKEN", "flj_secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    model = runtime(tmp_path)
    pid = started(model.log)[-1]
    environment = (Path("/proc") / str(pid) / "environ").read_bytes()
    assert b"secret" not in environment and b"HOME=" + str(tmp_path).encode() in environment
    assert os.getpgid(pid) == pid != os.getpgid(0)
    assert {link.name for link in (Path("/proc") / str(pid) / "fd").iterdir()} >= {"0", "1", "2"}
    assert len(list((Path("/proc") / str(pid) / "fd").iterdir())) == 4
    model.close()


def test_it_runs_on_as_many_processors_as_are_allowed(tmp_path: Path) -> None:
    all_of_them = os.sched_getaffinity(0)
    for processors, expected in ((0, len(all_of_them)), (1, 1)):
        model = runtime(tmp_path, processors=processors)
        assert len(os.sched_getaffinity(started(model.log)[-1])) == expected
        model.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    yield tmp_path_factory.mktemp("shared")


@profile(max_examples=8, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([1.0, 2.0, 3.0, RAISE, NAN, SHORT, EXIT]), st.integers(1, 5)), max_size=12))
def test_no_call_notices_its_batch_mates(shared: Path, asks: list[tuple[float, int]]) -> None:
    model = runtime(shared)

    async def work(asked: Asked) -> None:
        waiting = [asked.ask(np.repeat(row(first, number), rows, axis=0)) for number, (first, rows) in enumerate(asks)]
        for number, ((first, rows), result) in enumerate(zip(asks, await asyncio.gather(*waiting), strict=True)):
            if first in (RAISE, SHORT, EXIT):
                assert isinstance(result, FalajError)
            elif first == NAN:
                assert np.isnan(result).all()
            else:
                assert result.tolist() == [first + number] * rows
        assert asked.processes.rows == 0

    run(model, work)


def test_a_model_that_serves_again_before_it_ended_goes_on(tmp_path: Path) -> None:
    model, other = runtime(tmp_path / "one"), runtime(tmp_path / "other")

    async def work(asked: Asked) -> None:
        asked.processes.keep([other])
        asked.processes.keep([model, other])  # a rollback within the second
        asked.processes.keep([model])
        loop = asyncio.get_running_loop()
        until_s = loop.time() + 1.2
        while loop.time() < until_s:
            assert (await asked.ask(row(1.0))).tolist() == [3.0]
        assert len(started(model.log)) == 1

    run(model, work)
    other.close()


def test_who_waits_too_long_by_its_own_deadline_is_late(model: PythonRuntime) -> None:
    async def work(asked: Asked) -> None:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        deadline_s = loop.time() + 0.05
        asked.processes.submit(model, row(HANG), future.set_result, deadline_s)
        result = await future
        assert asked.processes.is_late(result, deadline_s)
        assert not asked.processes.is_late(result, None)
        assert not asked.processes.is_late(result, loop.time() + 60)

    run(model, work)
