"""Every engine answers what the naive definition says."""

import math
import os
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from falaj.definitions.aggregation import count, last, last_n
from falaj.features.engines.port import Engine
from support.feature_worlds import CREATED, ENTITIES, KNOWN, SETS, World, check, make_service, row, worlds

EXAMPLES = {"duckdb": 60, "postgres": 60, "spark": 12}
"""Spark takes a second a query, so its examples are fewer, and larger."""
MORE = int(os.environ.get("FALAJ_TEST_EXAMPLES", "0"))


def run(engine: Engine, *, known_time: bool) -> None:
    rows, questions = (60, 40) if engine.name == "spark" else (16, 6)
    created = KNOWN if known_time else CREATED
    phases = [phase for phase in Phase if phase is not Phase.explain]

    @settings(
        deadline=None,
        max_examples=MORE or EXAMPLES[engine.name],
        suppress_health_check=list(HealthCheck),
        phases=phases,
    )
    @given(worlds(most_rows=rows, most_questions=questions, created=created))
    def agrees(world: World) -> None:
        check(world, engine, known_time=known_time)

    agrees()


@pytest.mark.timeout(0)
def test_an_engine_answers_what_the_definition_says(engine: Engine) -> None:
    run(engine, known_time=False)


@pytest.mark.timeout(0)
def test_an_engine_answers_what_was_known_at_the_instant(engine: Engine) -> None:
    run(engine, known_time=True)


TEXTS = ("${env:HOME}", "{a}", "$1", ":x", "?", "%s", "a\\b", "it's", '"q"', "--", "\\.", "\u00e9", "e\u0301", "", " ")


def test_texts_are_what_they_are(engine: Engine) -> None:
    """An engine substitutes, escapes, trims and normalises nothing."""
    wheres = {f"is_{i}": "country = '" + text.replace("'", "''") + "'" for i, text in enumerate(TEXTS)}
    features: dict[str, Any] = {name: count(window="100us", where=where) for name, where in wheres.items()}
    rows = [row(f"e{i}", i, a=text, country=text) for i, text in enumerate([*TEXTS, "a\n\\.\nb", "a\r\nb"])]
    check(World(make_service("all", **features), rows, [], [({}, 50)]), engine)
    latest = make_service("text", country=last("country"), countries=last_n("country", 3, window="100us"))
    check(World(latest, rows, [], [({"a": row["a"]}, 50) for row in rows]), engine)


def test_keys_may_be_long(engine: Engine) -> None:
    chance = random.Random(1)
    long = "".join(chr(chance.randint(33, 0x2FFF)) for _ in range(20_000))  # an index would not take it, pressed or not
    spec = make_service("pair", country=last("country"), n=count(window="9us"))
    rows = [row("e1", 1, a=long, b=long, country=long), row("e2", 2, a=long, b="23", country="AE")]
    check(World(spec, rows, [], [({"a": long, "b": b}, 5) for b in (long, "23", long[:-1])]), engine)


def crowded(seed: int, **features: Any) -> World:
    """Return a world in which every instant has events of every kind, asked at every instant."""
    chance = random.Random(seed)
    amounts = [None, 0.0, -0.0, 0.1, -3.25, 57.16, 1e15]
    rows = []
    for i in range(80):
        amount = chance.choice([math.nan, math.inf, -math.inf]) if i % 20 == 0 else chance.choice(amounts)
        values = {
            "amount": amount,
            "points": chance.choice([None, -1, 0, 5, 1 << 62 if i % 10 == 0 else 7]),
            "country": chance.choice([None, "", "AE", "OM"]),
            "ok": chance.choice([None, True, False]),
            "known": chance.choice([None, *range(-20, 40, 4)]),
            "a": chance.choice(["1", "1", "12", None]),
            "b": chance.choice(["23", "3"]),
            "n": chance.choice([1, 1, -1]),
        }
        rows.append(row(chance.choice([None, f"e{i // 2}"]), chance.randint(-30, 30), **values))
    questions = [({"a": "12" if at % 7 == 0 else "1", "b": "23", "n": 1}, at) for at in range(-40, 60)]
    spec = make_service(
        sorted(ENTITIES)[seed % len(ENTITIES)],
        has_id=seed % 3 != 0,
        ttl="15us" if seed % 2 else None,
        delay="7us" if seed % 5 == 0 else None,
        **features,
    )
    return World(spec, rows, [], questions)


@pytest.mark.parametrize("known_time", [False, True])
@pytest.mark.parametrize("name", SETS)
def test_every_instant_of_a_crowded_world(engine: Engine, name: str, known_time: bool) -> None:
    number = list(SETS).index(name)
    for seed in range(number, number + (2 if engine.name != "spark" else 1)):
        check(crowded(seed, **SETS[name]), engine, known_time=known_time)
