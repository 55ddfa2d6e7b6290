"""Features of one row as they were known, of all rows together, at every instant of a crowded world."""

import random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import falaj as fj
from falaj.features.engines.duckdb import DuckDbEngine
from falaj.features.known_rows import known_rows
from support.feature_worlds import World, check, make_service

SETS: dict[str, dict[str, Any]] = {
    "any_age": {
        "last": fj.last("country"),
        "first": fj.first("country"),
        "given": fj.last_non_null("amount"),
        "points": fj.last("points", where="ok"),
        "column": fj.column("ok"),
    },
    "windows": {
        "last": fj.last("country", window="8us"),
        "first": fj.first("amount", window="5us", where="points > 0"),
        "hop": fj.first("points", window=fj.sawtooth("9us", hop="4us")),
        "n": fj.count(window="8us"),
    },
}


@pytest.mark.parametrize("ttl", [None, "6us"])
@pytest.mark.parametrize("delay", [None, "3us"])
@pytest.mark.parametrize("name", SETS)
def test_every_instant_is_answered_as_the_definition_says(name: str, delay: str | None, ttl: str | None) -> None:
    chance = random.Random(5)
    rows: list[dict[str, Any]] = [
        {
            "event": chance.choice([f"e{i % 30}", None]),
            "at": chance.randrange(-10, 30),
            "known": chance.choice([None, *range(-20, 60, 3)]),
            "amount": chance.choice([None, 0.5, float("nan")]),
            "points": chance.choice([None, -1, 7]),
            "country": chance.choice([None, "AE", "OM"]),
            "ok": chance.choice([None, True, False]),
            "a": "1",
            "b": "1",
            "n": 1,
        }
        for i in range(80)
    ]
    spec = make_service("all", ttl=ttl, delay=delay, **SETS[name])
    check(World(spec, rows, [], [({}, at) for at in range(-25, 65)]), DuckDbEngine(), known_time=True)


def test_no_rows_give_nothing() -> None:
    view = make_service("all", last=fj.last("country")).views[0]
    none = pa.array([], pa.int64())
    events = pa.table({"_ts": none, "_created": none, "_until": none, "c0": pa.array([], pa.string())})
    assert known_rows(view, events, np.array([1, 2]))["last"].to_pylist() == [None, None]
