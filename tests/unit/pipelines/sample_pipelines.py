"""Pipelines as users write them, for tests in process and in child processes."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa

import falaj as fj
from falaj.definitions.trace import directly
from falaj.pipelines.context import StepContext
from unit.pipelines.counted_pipelines import days, note, square, total


@fj.step
def arrow(rows: int) -> pa.Table:
    return pa.table({"n": pa.array(range(rows), pa.int64()), "s": [str(n) for n in range(rows)]})


@fj.step
def through_pandas(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(n=table["n"] * 2)


@fj.step
def through_polars(table: pl.DataFrame) -> pl.DataFrame:
    return table.with_columns(pl.col("n") + 1)


@fj.step
def halves(table: pa.Table) -> tuple[pa.Table, pa.Table]:
    half = table.num_rows // 2
    return table.slice(0, half), table.slice(half)


@fj.step
def count(table: pa.Table) -> int:
    return int(table.num_rows)


@fj.step
def by_name(first: pa.Table, second: pa.Table) -> dict[str, pa.Table]:
    return {"first": first, "second": second}


@fj.step
def numbers(table: pa.Table) -> list[int]:
    return table.column("n").to_pylist()  # type: ignore[no-any-return]


@fj.pipeline
def tables(rows: int) -> list[int]:
    first, second = halves(through_polars(through_pandas(arrow(rows))))
    named = by_name(first, second)
    count.map([first, second])
    return numbers(named["second"])


@fj.step
def write(text: str, context: StepContext) -> Path:
    path = context.folder / "letter.txt"
    path.write_text(text)
    return path


@fj.step
def read(letter: Path) -> str:
    return f"{letter.name}: {letter.read_text()}"


@fj.pipeline
def letters(text: str) -> str:
    return read(write(text))


@fj.pipeline
def from_project(file: str) -> str:
    return read(Path(file))


@dataclass
class Score:
    auc: float
    on: date


@fj.step
def score(on: date) -> Score:
    return Score(0.75, on)


@fj.step
def month(found: Score) -> int:
    return found.on.month


@fj.pipeline(at="on")
def scores(on: date) -> int:
    return month(score(on))


@fj.step
def ask(key: fj.Secret, *, fails: bool = False) -> int:
    print(f"asking with {key.reveal()}, which prints as {key}")  # noqa: T201
    if fails:
        raise ValueError(f"401 for {key.reveal()}")
    return len(key.reveal())


@fj.pipeline
def asking(fails: bool = False) -> int:
    return ask(fj.secret("FALAJ_TEST_KEY"), fails=fails)


@fj.step(random=True)
def draw(ledger: str) -> int:
    note(ledger, "draw")
    return 4


@fj.pipeline
def drawing(ledger: str) -> int:
    return draw(ledger)


@fj.step(cpu=8, memory="2GiB")
def heavy() -> int:
    return 1


@fj.pipeline
def weighty() -> int:
    return heavy()


@fj.step
def fails_on(day: int, bad: int, ledger: str) -> int:
    note(ledger, f"try {day}")
    if day == bad and not Path(f"{ledger}.mended").exists():
        raise ValueError(f"day {day} is broken")
    return day


@fj.pipeline
def fragile(ledger: str, number: int, bad: int) -> dict[str, Any]:
    return total(fails_on.map(days(ledger, number), bad=bad, ledger=ledger), ledger)


@fj.pipeline
def takes_a_look(ledger: str) -> list[int]:
    found = days(ledger, 3)
    return found if found else []


@fj.pipeline
def goes_over(ledger: str) -> list[int]:
    return [square(day, ledger) for day in days(ledger, 3)]


@fj.step
def pair(number: int) -> list[int]:
    return [number, number + 1]


@fj.step
def below(number: int) -> list[int]:
    return list(range(number))


@fj.pipeline
def triangles(ledger: str, number: int) -> list[dict[str, Any]]:
    rows = square.map_each(below.map(days(ledger, number)), ledger=ledger)
    return total.map(rows, ledger=ledger)


@fj.step
def plus(number: int, more: int) -> int:
    return number + more


@fj.step
def row_sum(row: list[int]) -> int:
    return sum(row)


@fj.step
def add_up(first: int | list[int], others: list[int]) -> int:
    return sum(others) + (sum(first) if isinstance(first, list) else first)


def directly_called(shape: Callable[[], list[Any]]) -> list[Any]:
    """Call what a pipeline's function does, as calling the pipeline does."""
    with directly():
        return shape()
