"""Engines page: which engine computes which function, as the code that refuses the others says it."""

from collections.abc import Callable
from typing import get_args

from falaj.definitions.aggregation import Function
from falaj.definitions.expression import ARITHMETIC, COMPARISONS, FUNCTIONS
from falaj.features.dialect import DIALECTS, Dialect

_TEXT = """# Engines

The setting `features.engine` says what computes features for training; [choose an
engine](../how-to/choose-an-engine.md) says when to take which. duckdb, postgres and spark are executed, and held by
tests to the same answers as the definition in plain Python. bigquery and snowflake are texts that `falaj features sql`
prints: **they are not executed by this project**. What an engine cannot compute as it is meant is refused by `falaj
plan`, and never approximated.

"""
_LIMITS = """
## Limits

- postgres: a float result beyond float64 fails there, where others give an infinity or zero; a text with a zero byte
  fails too. Both are told as errors, and nothing is stored.
- Where a function is executed it is exact: `sketch="hll"` and `sketch="kll"` have an effect on online tiles only.
- Features as they were known at each instant (`known_time`) are executed by all three.
"""


def engines_page(head: str) -> str:
    """Return the page of engines.

    Args:
        head: What stands above every page that is written by a program.
    """
    functions = [name if name != "column" else "column (a plain column)" for name in get_args(Function)]
    whys: list[str] = []

    def aggregate(name: str, dialect: Dialect) -> str:
        why = dialect.refused.get(name.partition(" ")[0])
        if why is None:
            return "yes"
        note = f"{dialect.name}: {why}."
        if note not in whys:
            whys.append(note)
        return f"refused [{whys.index(note) + 1}]"

    parts = [head, _TEXT, "## Aggregations\n\n", _table("Function", functions, aggregate)]
    parts += ["\n", *(f"{i}. {why}\n" for i, why in enumerate(whys, start=1))]
    operations = [f"`{' '.join(COMPARISONS)}`", f"`{' '.join(ARITHMETIC)}`", *(f"`{name}`" for name in FUNCTIONS)]
    parts += ["\n## Expressions\n\nIn transforms and filters.\n\n", _table("Function", operations, _expression)]
    parts.append("\nWhich letters `lower` and `upper` change depends on an engine's tables or a database's locale.\n")
    return "".join([*parts, _LIMITS])


def _expression(name: str, dialect: Dialect) -> str:
    return "refused" if name.strip("`") in dialect.without else "yes"


def _table(first: str, names: list[str], said: Callable[[str, Dialect], str]) -> str:
    heads = [f"{name}{'' if dialect.executed else ' (not executed)'}" for name, dialect in DIALECTS.items()]
    rows = [f"| {first} | {' | '.join(heads)} |\n|---|{'---|' * len(heads)}\n"]
    rows += [f"| {name} | {' | '.join(said(name, dialect) for dialect in DIALECTS.values())} |\n" for name in names]
    return "".join(rows)
