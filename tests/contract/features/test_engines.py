"""Every engine answers what the naive definition says."""

import os

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from falaj.features.engines.port import Engine
from support.feature_worlds import CREATED, KNOWN, World, check, worlds

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
