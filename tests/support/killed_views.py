"""A source, two views of it and its events, for the tests that kill whoever applies them."""

from collections.abc import Iterable, Mapping
from typing import Any

import falaj as fj
from falaj.kernel.clock import from_us
from support.feature_worlds import SCHEMA, make_service, row

SOURCE = fj.Source("tx", stream=fj.Push(), id="event", timestamp="at", created="known", schema=SCHEMA)
OLD = make_service(n=fj.count(window="1s"), lateness="1h")
NEW = make_service(s=fj.sum("amount", window="1s"), last=fj.last("country"), lateness="1h")
EVENTS = [
    row(f"e{number % 25}", at=(number * 7) % 30, a=str(number % 3), amount=float(number), known=number, country="AE")
    for number in range(40)
]
"""Late ones, and from the 26th on corrections of earlier ones, some of which move to another entity."""
QUESTIONS = [({"a": key}, at) for key in ("0", "1", "2") for at in (5, 15, 1_000)]


def sent(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows as events are sent: with instants, where rows have microseconds."""
    instants = ("at", "known")
    return [{**row, **{n: from_us(row[n]) for n in instants if row[n] is not None}} for row in rows]
