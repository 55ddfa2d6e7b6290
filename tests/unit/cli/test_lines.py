"""Refused rows and freshness, as commands show them."""

import msgspec
import pytest

from falaj.app.values.freshness import ViewFreshness
from falaj.cli.source import letter_line
from falaj.cli.status import freshness_line

VIEW = ViewFreshness("cards", "ab12", "tx", 7, 0, 0.0, 3.0, False, 2, 5.0, 40.0, [0] * 21, 0.0)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ('{"amount":"ten","id":"t1"}', "amount is not of type float64: {'id': 't1', 'amount': 'ten', 'shop': None}"),
        ('{"amount":1e9,"line":"a\\nb"}', "{'id': None, 'amount': 1000000000.0, 'shop': None, 'line': 'a\\nb'}"),
        ("a,b\x1b[2J", "amount is not of type float64: a,b"),
    ],
)
def test_a_refused_row_is_shown_as_it_came(raw: str, said: str) -> None:
    row = {"id": "t1", "amount": None, "shop": None, "_reasons": ["amount is not of type float64"], "_raw": raw}
    shown = letter_line(row)
    assert said in shown
    assert "\x1b" not in shown


def test_a_view_that_is_kept_for_what_serves_says_so() -> None:
    assert freshness_line(VIEW) == "cards: shows every row; pushed events visible after 5 ms (p50), 40 ms (p99)"
    old = msgspec.structs.replace(VIEW, old=True, events=0, p50_ms=None, p99_ms=None)
    assert freshness_line(old) == "cards (old definition ab12, kept for what serves): shows every row"


@pytest.mark.parametrize(
    ("delay_ms", "said"),
    [(500.0, "500 ms"), (2_000.0, "2 s"), (60_000.0, "1 min"), (300_000.0, "5 min"), (float("inf"), "more than 5 min")],
)
def test_long_delays_are_told_in_seconds_and_minutes(delay_ms: float, said: str) -> None:
    assert freshness_line(msgspec.structs.replace(VIEW, p99_ms=delay_ms)).endswith(f"5 ms (p50), {said} (p99)")
