"""Ibis expressions of a row, as the SQL text that a definition keeps."""

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import ibis
import pytest

from falaj.definitions.expression import bind, parse, text_of
from falaj.definitions.ibis_expression import sql_of
from falaj.kernel.errors import DefinitionError

SCHEMA = {"at": "timestamp", "amount": "float64", "country": "string", "ok": "bool"}
AT = ibis._.at


def said(given: Any) -> str:
    return text_of(bind(parse(sql_of(given, SCHEMA, "x"), field="x"), SCHEMA, field="x"))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (ibis._.amount / 100, "(amount / 100.0)"),
        (lambda rows: rows.amount + 1, "(amount + 1.0)"),
        ((ibis._.country != "it's") & ibis._.ok, '((country <> "it\'s") and ok)'),
        (AT.hour(), "hour(at)"),
        (datetime(1970, 1, 1, tzinfo=UTC) == AT, "(at = timestamp(0))"),
        (datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC) < AT, "(at > timestamp(-1))"),
        (datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=UTC) <= AT, "(at >= timestamp(1))"),
        (datetime(1970, 1, 1, 4, tzinfo=ZoneInfo("Asia/Dubai")) > AT, "(at < timestamp(0))"),
        (datetime(1970, 1, 1, tzinfo=timezone(timedelta(hours=5, minutes=30))) > AT, "(at < timestamp(-19800000000))"),
        (datetime(1970, 1, 1, tzinfo=timezone(-timedelta(hours=5))) > AT, "(at < timestamp(18000000000))"),
        # in New York summer time began at two o'clock of that night
        (datetime(2026, 3, 8, 3, tzinfo=ZoneInfo("America/New_York")) > AT, "(at < timestamp(1772953200000000))"),
        (AT.isin([datetime(1970, 1, 1, tzinfo=UTC)]), "(at = timestamp(0))"),
        (AT.coalesce(ibis.timestamp("1970-01-01T00:00:00+00:00")), "coalesce(at, timestamp(0))"),
    ],
)
def test_an_expression_is_kept_as_its_meaning(given: Any, expected: str) -> None:
    assert said(given) == expected


@pytest.mark.parametrize("given", [datetime(2026, 1, 31), ibis.timestamp("2026-01-31"), date(2026, 1, 31)])  # noqa: DTZ001
def test_an_instant_without_a_zone_is_refused(given: Any) -> None:
    with pytest.raises(DefinitionError, match=r"without a time zone|no single meaning"):
        said(given < AT)


def test_an_instant_that_is_computed_is_refused() -> None:
    with pytest.raises(DefinitionError, match="not written out") as error:
        said(ibis.timestamp(AT.year(), 1, 1, 0, 0, 0) < AT)
    assert "tzinfo=UTC" in error.value.hint
