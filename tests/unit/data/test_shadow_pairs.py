"""Shadow pairs: joined by request id, each request once, against a plain join."""

from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
from hypothesis import given
from hypothesis import strategies as st

from falaj.data.prediction_table import feedback_rows, prediction_rows
from falaj.data.shadow_pairs import Shadowed, pair
from falaj.definitions.prediction_record import FeedbackRecord, PredictionRecord

WANTED = Shadowed("fraud", "fraud", 9, 3, 5)


def record(request_id: str, role: str, version: int, epoch: int, score: float | None, **more: Any) -> PredictionRecord:
    fields: dict[str, Any] = {"endpoint": "fraud", "model": "fraud"}
    endpoint, model = ({**fields, **more}[name] for name in ("endpoint", "model"))
    return PredictionRecord(
        request_id, "", endpoint, role, role, model, version, epoch, "u", 10, 11, 12, {}, {}, [], {}, {}, score
    )


def paired(records: list[PredictionRecord], outcomes: list[FeedbackRecord], limit: int = 100) -> list[dict[str, Any]]:
    predictions = prediction_rows([(seq, "s", one) for seq, one in enumerate(records, 1)])
    feedback = feedback_rows([(seq, "s", one) for seq, one in enumerate(outcomes, 1)])
    found: pa.Table = pair(ds.dataset(predictions), ds.dataset(feedback), WANTED, limit=limit)
    rows: list[dict[str, Any]] = found.to_pylist()
    return rows


RECORDS = st.lists(
    st.builds(
        record,
        st.sampled_from("abcdef"),
        st.sampled_from(["live", "shadow", "test"]),
        st.sampled_from([1, 2, 9]),
        st.integers(2, 6),
        st.one_of(st.none(), st.floats(0, 1)),
        endpoint=st.sampled_from(["fraud", "fraud", "other"]),
    ),
    max_size=30,
)
OUTCOMES = st.lists(
    st.builds(FeedbackRecord, st.sampled_from("abcdefg"), st.sampled_from([0.0, 1.0]), st.integers(0, 9), st.just(1)),
    max_size=12,
)


@given(records=RECORDS, outcomes=OUTCOMES)
def test_it_is_a_plain_join(records: list[PredictionRecord], outcomes: list[FeedbackRecord]) -> None:
    kept = [one for one in records if one.endpoint == "fraud" and 3 <= one.epoch <= 5]
    live: dict[str, PredictionRecord] = {}
    shadow: dict[str, PredictionRecord] = {}
    for one in kept:
        if one.role == "live":
            live.setdefault(one.request_id, one)
        elif one.role == "shadow" and one.version == 9:
            shadow.setdefault(one.request_id, one)
    known: dict[str, FeedbackRecord] = {}
    for outcome in outcomes:
        if outcome.request_id not in known or outcome.at_us >= known[outcome.request_id].at_us:
            known[outcome.request_id] = outcome
    wanted = {
        key: (live[key].version, live[key].score, one.score, known[key].outcome if key in known else None)
        for key, one in shadow.items()
        if key in live
    }
    rows = paired(records, outcomes)
    found = {
        one["request_id"]: (one["live_version"], one["live_score"], one["shadow_score"], one["outcome"]) for one in rows
    }
    assert len(found) == len(rows)
    assert found == wanted


def test_the_newest_are_taken_when_there_are_too_many() -> None:
    records = [
        record(f"r{n}", role, version, 4, 0.5) for n in range(5) for role, version in (("live", 1), ("shadow", 9))
    ]
    assert [one["request_id"] for one in paired(records, [], limit=2)] == ["r4", "r3"]
