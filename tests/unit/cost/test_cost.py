"""Use is added up and priced."""

from datetime import timedelta

import pytest

from falaj.cost.meter import Meter, Usage
from falaj.cost.report import report
from falaj.kernel.clock import EPOCH, ManualClock
from falaj.kernel.settings import CostSettings
from falaj.storage.metadata.database import Database

PRICES = CostSettings(currency="AED", cpu_core_hour=0.36)


@pytest.fixture
def db(each_db: Database) -> Database:
    return each_db


def test_sums_per_subject_times_price_dearest_first(db: Database) -> None:
    meter = Meter(db, ManualClock())
    meter.record(Usage("endpoint", "fraud", 10.0, 20.0, 500), Usage("pipeline", "train:fraud", 100.0, 60.0))
    meter.record(Usage("endpoint", "fraud", 30.0, 20.0, 1500))
    lines = report(db, PRICES)
    assert [line.used for line in lines] == [
        Usage("pipeline", "train:fraud", 100.0, 60.0, 0),
        Usage("endpoint", "fraud", 40.0, 40.0, 2000),
    ]
    assert [line.amount for line in lines] == pytest.approx([0.01, 0.004])
    assert [line.per_thousand_requests for line in lines] == [None, pytest.approx(0.002)]
    assert lines[0].currency == "AED"


def test_only_use_of_the_period_counts(db: Database) -> None:
    clock = ManualClock()
    meter = Meter(db, clock)
    for _ in range(3):
        meter.record(Usage("endpoint", "fraud", requests=1))
        clock.advance(60)
    since, until = EPOCH + timedelta(seconds=60), EPOCH + timedelta(seconds=120)
    assert report(db, PRICES, since=since, until=until)[0].used.requests == 1


def test_nothing_used_is_an_empty_report(db: Database) -> None:
    Meter(db, ManualClock()).record()
    assert report(db, PRICES) == []


def test_use_recorded_in_a_failed_transaction_does_not_count(db: Database) -> None:
    meter = Meter(db, ManualClock())
    with pytest.raises(ZeroDivisionError), db.write() as connection:
        meter.record_in(connection, Usage("endpoint", "fraud", requests=1))
        _ = 1 / 0
    assert report(db, PRICES) == []
