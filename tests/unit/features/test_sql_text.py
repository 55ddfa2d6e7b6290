"""A view as text: every engine's parser reads it, and its head says whether it was tried."""

from typing import Any

import pytest
import sqlglot

import falaj as fj
from falaj.features.compile import compile_view
from falaj.features.dialect import DIALECTS
from falaj.features.engines.support import check_views, refusals, refused_features
from falaj.features.sql_text import sql_text
from falaj.kernel.errors import Unsupported
from support.feature_worlds import ENTITIES, SCHEMA, SETS, make_service

NOT_EVERYWHERE = ("last_n", "quantile")


@pytest.mark.parametrize("engine", DIALECTS)
@pytest.mark.parametrize("entity", ENTITIES)
@pytest.mark.parametrize("name", SETS)
def test_the_text_parses(engine: str, entity: str, name: str) -> None:
    dialect = DIALECTS[engine]
    features: dict[str, Any] = {
        k: f for k, f in SETS[name].items() if dialect.executed or f.function not in NOT_EVERYWHERE
    }
    view = make_service(entity, ttl="15us", delay="7us", **features).views[0]
    text = sql_text(view, dialect)
    assert ("not executed by this project" in text.partition("\n")[0]) is not dialect.executed
    parsed = sqlglot.parse(text, dialect=engine, error_level=sqlglot.ErrorLevel.RAISE)
    assert len(parsed) == 1
    assert isinstance(parsed[0], sqlglot.exp.Select)
    assert parsed[0].named_selects == ["_question", *features]


def test_what_an_engine_cannot_compute_is_refused_with_the_reason() -> None:
    more: dict[str, Any] = SETS["more"]
    view = make_service(**more).views[0]
    assert {name for name, _ in refusals(view, DIALECTS["snowflake"])} == {"three", "two", "median", "high"}
    with pytest.raises(Unsupported, match="'three' cannot be computed by bigquery: its lists hold no nulls"):
        check_views([view], DIALECTS["bigquery"])
    for name, dialect in DIALECTS.items():
        if dialect.executed:
            assert list(refusals(view, dialect)) == [], name


def test_bigquery_computes_quantiles() -> None:
    view = make_service(median=SETS["more"]["median"]).views[0]
    sqlglot.parse_one(sql_text(view, DIALECTS["bigquery"]), dialect="bigquery")


def test_what_an_engine_cannot_compute_is_left_out_and_named() -> None:
    more: dict[str, Any] = SETS["more"]
    view = make_service(**more).views[0]
    text = sql_text(view, DIALECTS["bigquery"])
    assert "-- Left out: three, for its lists hold no nulls" in text
    (parsed,) = sqlglot.parse(text, dialect="bigquery")
    assert isinstance(parsed, sqlglot.exp.Select)
    assert parsed.named_selects == ["_question", *(name for name in more if name not in ("three", "two"))]
    with pytest.raises(Unsupported, match="'three' cannot be computed by bigquery"):
        sql_text(make_service(three=more["three"]).views[0], DIALECTS["bigquery"])


def test_features_over_what_an_engine_cannot_derive_are_left_out() -> None:
    source = fj.Source("tx", stream=fj.Push(), id="event", timestamp="at", schema=SCHEMA)
    view = compile_view(
        fj.FeatureView(
            "v",
            entity=None,
            source=source,
            transform={"low": "lower(country)"},
            features={
                "n": fj.count(window="1h"),
                "low": fj.last("low"),
                "here": fj.count(window="1h", where="low = 'ae'"),
            },
        ),
        SCHEMA,
    )
    assert refused_features(view, DIALECTS["postgres"]).keys() == {"low", "here"}
    text = sql_text(view, DIALECTS["postgres"])
    assert "-- Left out: low, for it has no lower of the same meaning" in text
    assert "lower(" not in text.lower()
