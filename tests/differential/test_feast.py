"""Where Feast is right, we answer the same: random worlds, offline from its DuckDB store and online from SQLite."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from peers.feast_peer import Feast

from support.feast_world import FeastWorld, Row

Make = Callable[..., FeastWorld]
FIELDS = {"x": "float64", "n": "int64", "text": "string", "ok": "bool"}
KEYS: list[dict[str, str]] = [{"k": "int64"}, {"k": "string"}, {"a": "string", "b": "string"}]
WHOLE = [0, 1, -1, 7, (1 << 53) + 1, -(1 << 62)]
TEXTS = ["1", "12", "23", "3", "", "سلام"]
TTLS_US = [None, 1, 10, 40]


def test_the_version_is_the_one_that_the_documents_name(running_feast: Feast) -> None:
    assert running_feast.ask("version")["version"] == "0.67.0"


@pytest.mark.parametrize("seed", range(24))
def test_training_frames_are_the_same(seed: int, world: Make) -> None:
    """Ties by created, nulls in keys and values, composite keys that concatenate alike, duplicate questions, edges."""
    rng = random.Random(seed)
    keys = KEYS[seed % len(KEYS)]
    ttl_us = TTLS_US[seed % len(TTLS_US)]
    rows = [_row(rng, keys, nulls=True) for _ in range(rng.randrange(60))]
    both = world(*_distinct(rows, keys), keys=keys, fields=FIELDS, ttl_us=ttl_us)
    edges = [r["at"] + later for r in rows for later in (-1, 0, 1, ttl_us or 0, (ttl_us or 0) + 1)]
    # A null among whole numbers would make floats of them in pandas, which is how Feast takes a frame.
    questions = [
        {**_key(rng, keys, nulls="int64" not in keys.values()), "t": rng.choice([*edges, rng.randint(-60, 160)])}
        for _ in range(40)
    ]
    questions += rng.choices(questions, k=5)
    assert both.our_values(questions) == both.feast_values(questions)


@pytest.mark.parametrize("seed", range(12))
def test_online_values_are_the_same_when_rows_come_in_the_order_of_their_time(seed: int, world: Make) -> None:
    rng = random.Random(100 + seed)
    keys = KEYS[seed % len(KEYS)]
    rows = _distinct([_row(rng, keys, nulls=False) for _ in range(60)], keys)
    both = world(*(r for r in rows if r["at"] <= 50), keys=keys, fields=FIELDS)
    both.feast_materialise(50)
    both.add([r for r in rows if r["at"] > 50])
    both.feast_materialise_incrementally(100)
    entities = list({tuple(r[key] for key in keys): {key: r[key] for key in keys} for r in rows}.values())
    entities += [_absent(keys)]
    ours = both.our_online(entities, 100)
    assert ours.values == both.feast_online(entities)
    assert ours.statuses == both.feast_statuses(entities)


def test_whole_numbers_of_32_bits_in_the_file_are_found_by_keys_of_64(world: Make) -> None:
    both = world({"k": 1, "at": 0, "known": 0, "x": 2.5}, files={"k": "int32"})
    both.feast_materialise(0)
    assert both.our_values([{"k": 1, "t": 0}]) == both.feast_values([{"k": 1, "t": 0}]) == [[2.5]]
    assert both.our_online([{"k": 1}], 0).values == both.feast_online([{"k": 1}]) == [[2.5]]


def _row(rng: random.Random, keys: dict[str, str], *, nulls: bool) -> Row:
    """Return a row; with `nulls`, in keys and values."""
    values: dict[str, list[Any]] = {
        "x": [0.5, -1e300, 57.16],
        "n": WHOLE,
        "text": TEXTS,
        "ok": [True, False],
    }
    chosen = {name: rng.choice([*some, None] if nulls else some) for name, some in values.items()}
    return {**_key(rng, keys, nulls=nulls), "at": rng.randint(0, 100), "known": rng.randint(0, 100), **chosen}


def _key(rng: random.Random, keys: dict[str, str], *, nulls: bool) -> Row:
    null: list[Any] = [None] if nulls else []
    return {key: rng.choice([*(WHOLE if dtype == "int64" else TEXTS), *null]) for key, dtype in keys.items()}


def _absent(keys: dict[str, str]) -> Row:
    return {key: 99 if dtype == "int64" else "absent" for key, dtype in keys.items()}


def _distinct(rows: list[Row], keys: dict[str, str]) -> list[Row]:
    """Leave out what neither event time nor created orders: Feast says nothing of those."""
    found = {(*(r[key] for key in keys), r["at"], r["known"]): r for r in rows}
    return list(found.values())
