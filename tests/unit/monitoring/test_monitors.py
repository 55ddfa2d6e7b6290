"""The drift pass: every decision counted once, windows of exact size, and the same verdicts however it is cut up."""

from collections.abc import Callable, Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from falaj.definitions.verdict import Verdict
from falaj.kernel.errors import Conflict, InputError
from falaj.monitoring.alerts import list_alerts
from falaj.monitoring.drift import judge
from falaj.monitoring.histogram import unpack
from falaj.monitoring.monitors import Batch, WindowPolicy, closed_windows, watch_drift
from falaj.monitoring.questions import DriftPolicy
from falaj.monitoring.references import References, fit_references
from falaj.monitoring.verdicts import latest_verdicts, verdicts_after
from falaj.storage.metadata.database import Database

POLICY = DriftPolicy(min_rows=100)
TRAINING = np.random.default_rng(1)
REFERENCES = fit_references(
    {
        "amount": TRAINING.normal(size=4000),
        "country": TRAINING.choice(["AE", "OM"], 4000),
        "score": TRAINING.random(4000),
    }
)


class Log:
    """Decisions that were logged; the cursor is how many were read."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(2)
        self.amounts: list[float] = []
        self.countries: list[str | None] = []
        self.scores: list[float] = []
        self.at_us: list[int] = []
        self.batch_rows = 10_000

    def append(self, rows: int, mean: float = 0.0, at_us: int = 0) -> None:
        self.at_us += [at_us] * rows
        self.amounts += self.rng.normal(mean, 1.0, rows).tolist()
        self.countries += self.rng.choice(["AE", "OM"], rows).tolist()
        self.scores += self.rng.random(rows).tolist()

    def read(self, cursor: str) -> Iterable[Batch]:
        for start in range(int(cursor or 0), len(self.amounts), self.batch_rows):
            stop = min(start + self.batch_rows, len(self.amounts))
            columns = {
                "amount": np.array(self.amounts[start:stop]),
                "country": self.countries[start:stop],
                "score": np.array(self.scores[start:stop]),
            }
            yield Batch(str(stop), columns, np.array(self.at_us[start:stop], dtype=np.int64))


@pytest.fixture
def db(each_db: Database) -> Database:
    return each_db


def run(
    db: Database,
    read: Callable[[str], Iterable[Batch]],
    *,
    rows: int = 500,
    now_us: int = 0,
    span_us: int = 0,
    keep: int = 500,
    references: References = REFERENCES,
) -> list[Verdict]:
    window = WindowPolicy(rows, span_us, keep)
    return watch_drift(db, "drift/fraud/1", "fraud", "fraud/1", references, read,
                       policy=POLICY, window=window, now_us=now_us)  # fmt: skip


def test_quiet_traffic_then_drift_then_quiet_again(db: Database) -> None:
    log = Log()
    log.append(1000)
    assert [v.outcome for v in run(db, log.read)] == ["PASS", "PASS"]
    log.append(500, mean=1.0)
    assert [v.outcome for v in run(db, log.read)] == ["INCONCLUSIVE"]
    log.append(500, mean=1.0)
    (drift,) = run(db, log.read, now_us=7)
    assert (drift.kind, drift.subject, drift.outcome, drift.at_us) == ("drift", "fraud", "FAIL", 7)
    assert (drift.evidence["drifted"], drift.evidence["window"], drift.evidence["rows"]) == (["amount"], 4, 500)
    with db.read() as connection:
        (alert,) = list_alerts(connection, only_open=True)
        assert (alert.alert.rule, alert.alert.message) == ("drift", "amount drifted from the version's test rows")
        assert [kept.seq for kept in verdicts_after(connection, 3)] == [4]
        assert latest_verdicts(connection, kind="drift", subject="fraud")[0].verdict == drift
    log.append(500)
    assert [v.outcome for v in run(db, log.read)] == ["PASS"]
    with db.read() as connection:
        assert list_alerts(connection, only_open=True) == []


def test_nothing_new_is_nothing_done(db: Database) -> None:
    log = Log()
    assert run(db, log.read) == []
    log.append(499)
    assert run(db, log.read) == []
    assert run(db, log.read) == []
    log.append(1)
    assert len(run(db, log.read)) == 1


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(0, 700), min_size=1, max_size=8), st.integers(1, 900))
def test_however_it_is_cut_up_the_verdicts_are_the_same(passes: list[int], batch_rows: int) -> None:
    at_once, piecewise = Database.memory(), Database.memory()
    log, whole = Log(), Log()
    log.batch_rows = batch_rows
    given_piecewise: list[Verdict] = []
    piecewise.create_all()
    at_once.create_all()
    for rows in passes:
        log.append(rows, mean=0.6)
        given_piecewise += run(piecewise, log.read)
    whole.amounts, whole.countries, whole.scores, whole.at_us = log.amounts, log.countries, log.scores, log.at_us
    given_at_once = run(at_once, whole.read)
    at_once.close()
    piecewise.close()
    assert given_piecewise == given_at_once
    assert len(given_at_once) == sum(passes) // 500


def test_a_verdict_replays_from_the_kept_counts(db: Database) -> None:
    log = Log()
    log.append(1500, mean=0.5)
    given = run(db, log.read)
    with db.read() as connection:
        windows = closed_windows(connection, "drift/fraud/1")
    counted = [
        {key: unpack(window.counts[key], cells) for key, cells in REFERENCES.cells().items()} for window in windows
    ]
    for upto, verdict in enumerate(given, start=1):
        again = judge(REFERENCES, counted[:upto], POLICY).to_verdict("fraud", 0, "fraud/1")
        assert again.outcome == verdict.outcome
        assert again.evidence == {k: v for k, v in verdict.evidence.items() if k not in ("monitor", "window", "rows")}


def test_a_pass_that_dies_goes_on_where_the_counts_are(db: Database) -> None:
    log = Log()
    log.append(1200)
    log.batch_rows = 300

    def dies(cursor: str) -> Iterable[Batch]:
        for number, batch in enumerate(log.read(cursor)):
            if number == 2:
                raise OSError("killed here")
            yield batch

    with pytest.raises(OSError, match="killed"):
        run(db, dies)
    run(db, log.read)
    with db.read() as connection:
        windows = closed_windows(connection, "drift/fraud/1")
    assert [(window.number, window.rows, sum(window.counts["amount"])) for window in windows] == [
        (1, 500, 500),
        (2, 500, 500),
    ]


def test_windows_of_time_are_those_of_the_instants_decided_about(db: Database) -> None:
    """Whenever it is counted, and with a decision that comes late in the window that is open."""
    log = Log()
    log.append(150, at_us=1_050)
    log.append(150, at_us=1_999)
    assert run(db, log.read, now_us=10**9, span_us=1000) == []
    log.append(200, at_us=2_000)
    (first,) = run(db, log.read, span_us=1000)
    log.append(10, at_us=1_500)
    log.append(5, at_us=7_300)
    (second,) = run(db, log.read, span_us=1000)
    assert [(one.outcome, one.evidence["rows"]) for one in (first, second)] == [("PASS", 300), ("PASS", 210)]
    with db.read() as connection:
        assert [one.opened_us for one in closed_windows(connection, "drift/fraud/1")] == [1_000, 2_000]


def test_a_window_of_time_that_nobody_adds_to_is_judged_after_its_own_length(db: Database) -> None:
    log = Log()
    log.append(150, at_us=1_050)
    began = 10**9
    assert run(db, log.read, now_us=began, span_us=1000) == []
    assert run(db, log.read, now_us=began + 999, span_us=1000) == []
    (closed,) = run(db, log.read, now_us=began + 1000, span_us=1000)
    assert (closed.outcome, closed.evidence["rows"], closed.evidence["window"]) == ("PASS", 150, 1)
    assert run(db, log.read, now_us=began + 9000, span_us=1000) == []  # the empty one that follows is not judged
    log.append(1, at_us=1_100)
    assert run(db, log.read, now_us=began + 9001, span_us=1000) == []
    log.append(120, at_us=3_000)
    (second,) = run(db, log.read, now_us=began + 9002, span_us=1000)
    assert (second.evidence["rows"], second.evidence["window"]) == (1, 2)


def test_other_references_begin_anew_where_the_log_stands(db: Database) -> None:
    log = Log()
    log.append(700)
    run(db, log.read)
    others = fit_references({"amount": [1.0] * 200, "country": ["AE", "OM"] * 100, "score": [0.5] * 200})
    log.append(500)
    run(db, log.read, references=others)
    with db.read() as connection:
        first, second = closed_windows(connection, "drift/fraud/1")
    assert first.references != second.references
    assert second.number == 2
    assert sum(second.counts["amount"]) == 500


def test_only_the_last_windows_are_kept(db: Database) -> None:
    log = Log()
    log.append(2500)
    run(db, log.read, keep=2)
    with db.read() as connection:
        assert [window.number for window in closed_windows(connection, "drift/fraud/1")] == [4, 5]


def test_two_processes_under_one_name_are_noticed(db: Database) -> None:
    log = Log()
    log.append(100)

    def other_first(cursor: str) -> Iterable[Batch]:
        run(db, log.read)
        yield from log.read(cursor)

    with pytest.raises(Conflict, match="counted by another process"):
        run(db, other_first)
    log.append(100)
    with pytest.raises(Conflict, match="counted by another process"):
        run(db, other_first)


@pytest.mark.parametrize(
    "columns", [{}, {"amount": [1.0], "country": ["AE"]}, {"amount": [], "country": [], "score": [1]}]
)
def test_batches_that_do_not_fit_are_refused(db: Database, columns: dict[str, list[object]]) -> None:
    with pytest.raises(InputError, match="drift/fraud/1"):
        run(db, lambda cursor: [Batch(cursor + "1", columns, np.zeros(1, dtype=np.int64))])
