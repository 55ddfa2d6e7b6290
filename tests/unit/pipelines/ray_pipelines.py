"""Pipelines with steps on Ray, which write down what they do."""

import os
import signal
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa

import falaj as fj
from falaj.pipelines.context import StepContext
from unit.pipelines.counted_pipelines import note


@fj.step
def rows(number: int) -> pa.Table:
    return pa.table({"amount": list(range(number))})


@fj.step(engine="ray", cpu=2)
def on_head(table: pa.Table, key: fj.Secret, ledger: str) -> dict[str, Any]:
    note(ledger, f"head {os.getpid()}")
    print("the key is", key.reveal())  # noqa: T201 - as users do
    return {"node": os.environ["FALAJ_TEST_NODE"], "sum": sum(table["amount"].to_pylist()), "key": len(key.reveal())}


@fj.step(engine="ray", gpu=1, memory="1GiB")
def on_second(number: int, ledger: str) -> pa.Table:
    note(ledger, f"second {number}")
    return pa.table({"node": [os.environ["FALAJ_TEST_NODE"]], "cards": [os.environ["CUDA_VISIBLE_DEVICES"]]})


@fj.step
def joined(head: dict[str, Any], second: list[pa.Table]) -> list[Any]:
    return [head, *(one.to_pylist()[0] for one in second)]


@fj.pipeline
def spread(ledger: str, number: int = 3) -> list[Any]:
    return joined(on_head(rows(number), fj.secret("API_KEY"), ledger), on_second.map([1], ledger=ledger))


@fj.step(engine="ray", cpu=1)
def once(ledger: str) -> int:
    note(ledger, "once")
    return 1


def prepare() -> None:
    """Stand for what a process does before its step: go on in the file that the environment names."""
    note(os.environ["FALAJ_TEST_LEDGER"], "prepared")


@fj.pipeline
def done_once(ledger: str) -> int:
    return once(ledger)


def held(ledger: str, context: StepContext) -> str:
    """Say that it began and where, and end when it is let go."""
    note(ledger, f"held {os.getpid()}")
    print("is held")  # noqa: T201
    context.progress(0.5, "waits to be let go")
    while not Path(f"{ledger}.go").exists():
        threading.Event().wait(0.02)
    return os.environ.get("FALAJ_TEST_NODE", "")


@fj.step(engine="ray", cpu=1)
def hold(ledger: str, context: StepContext) -> str:
    return held(ledger, context)


@fj.step(engine="ray", cpu=1, timeout="1s")
def hold_a_second(ledger: str, context: StepContext) -> str:
    return held(ledger, context)


@fj.step(engine="ray", gpu=1)
def hold_on_second(ledger: str, context: StepContext) -> str:
    return held(ledger, context)


@fj.pipeline
def holding(ledger: str, second: bool = False, late: bool = False) -> str:
    return (hold_on_second if second else hold_a_second if late else hold)(ledger)


@fj.step(engine="ray", retries=1, retry_delay="0s")
def failing(ledger: str) -> int:
    note(ledger, "failing")
    raise ValueError("the column is empty")


@fj.step(engine="ray")
def dying(ledger: str) -> int:
    note(ledger, "dying")
    os.kill(os.getpid(), signal.SIGKILL)
    return 1


@fj.pipeline
def bad(ledger: str, dies: bool = False) -> int:
    return (dying if dies else failing)(ledger)
