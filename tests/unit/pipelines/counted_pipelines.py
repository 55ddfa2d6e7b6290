"""A pipeline whose steps count what they do; it loads no dataframe library, for workers that start often."""

import os
import threading
from pathlib import Path
from typing import Any

import falaj as fj
from falaj.pipelines.context import StepContext


def note(ledger: str, text: str) -> None:
    """Add a line to the file that counts side effects, in one write."""
    fd = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, f"{text}\n".encode())
    os.close(fd)


@fj.step
def days(ledger: str, number: int) -> list[int]:
    note(ledger, "days")
    return list(range(number))


@fj.step
def square(day: int, ledger: str, plus: int = 0) -> int:
    note(ledger, f"square {day}")
    return day * day + plus


@fj.step
def total(parts: list[int], ledger: str) -> dict[str, Any]:
    note(ledger, "total")
    return {"sum": sum(parts), "days": len(parts)}


@fj.step
def publish(summary: dict[str, Any], ledger: str) -> str:
    note(ledger, "publish")
    return f"published {summary['sum']}"


@fj.step
def report(published: str | None, ledger: str) -> str:
    note(ledger, "report")
    return published or "nothing"


@fj.pipeline
def squares(ledger: str, number: int = 3, above: int = 0) -> str:
    parts = square.map(days(ledger, number), ledger=ledger)
    summary = total(parts, ledger)
    return report(publish(summary, ledger, when=summary["sum"] > above), ledger)


@fj.pipeline
def listed(ledger: str, number: int) -> dict[str, Any]:
    return total(square.map(list(range(number)), ledger=ledger), ledger)


@fj.step
def hold(ledger: str, context: StepContext) -> int:
    """Say that it began; the first try ends when it is let go, and later ones at once."""
    note(ledger, f"hold {context.attempt}")
    while context.attempt == 1 and not Path(f"{ledger}.go").exists():
        threading.Event().wait(0.01)
    return context.attempt


@fj.pipeline
def holding(ledger: str) -> int:
    return square(hold(ledger), ledger)
