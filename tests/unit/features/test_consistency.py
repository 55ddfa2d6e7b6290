"""What was served is held against the events; what was tampered with is found."""

from typing import Any

import pyarrow.dataset as ds
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from falaj.definitions.aggregation import column, count, count_distinct, last, mean, quantile, sawtooth, sum, var
from falaj.definitions.prediction_record import PredictionRecord
from falaj.definitions.service_spec import OnDemandSpec, RequestSpec, ServiceSpec
from falaj.features.consistency import ConsistencyReport, verify
from falaj.features.entity_key import encode_key, record_key
from falaj.features.materialise import apply_batch
from falaj.features.mismatch_reason import UNEXPLAINED
from falaj.features.on_demand import OnDemand
from falaj.features.online import OnlineReader
from falaj.features.record import decode, encode
from falaj.storage.keyvalue.memory import MemoryStore
from support.feature_worlds import World, make_service, online_store, row, table, worlds

ROWS = [row("x", amount=2.0), row("y", at=3, amount=3.0), row("z", a="12", at=4, amount=5.0)]
SPEC = make_service(n=count(window="10us"), s=sum("amount", window="10us"), c=column("amount"), lateness="1h")
SPECS = {("m", 1): SPEC}


def served(kv: MemoryStore, spec: ServiceSpec, entity: dict[str, Any], at_us: int, **request: Any) -> PredictionRecord:
    rows = OnlineReader(kv).read(spec, [entity], [at_us])
    OnDemand(spec).fill(rows.values, [request])
    return PredictionRecord(
        "r1", "", "e", "v", "live", "m", 1, 1, "u", at_us, at_us, 0, entity, request, rows.values[0],
        dict(zip(rows.columns, rows.statuses[0], strict=True)), rows.applied_seq[0], 0.5,
    )  # fmt: skip


def store(rows: list[dict[str, Any]], spec: ServiceSpec = SPEC) -> MemoryStore:
    return online_store(World(spec, rows, [], []))


def check(*records: PredictionRecord, rows: list[dict[str, Any]] = ROWS, spec: ServiceSpec = SPEC) -> ConsistencyReport:
    return verify(records, {("m", 1): spec}, lambda _source: ds.dataset(table(rows)), subject="e")


def test_what_was_served_is_what_the_events_say() -> None:
    kv = store(ROWS)
    report = check(served(kv, SPEC, {"a": "1"}, 5), served(kv, SPEC, {"a": "12"}, 5), served(kv, SPEC, {"a": "q"}, 5))
    assert (report.decisions, report.compared, report.non_default) == (3, 9, 6)
    assert report.verdict.outcome == "PASS"
    assert report.mismatches == ()
    assert report.non_default_share == 6 / 9


def test_a_planted_corruption_is_found_with_both_values() -> None:
    kv = store(ROWS)
    place = record_key(SPEC.views[0].namespace, encode_key(SPEC.views[0], {"a": "1"}) or b"")
    stored = decode(SPEC.views[0], kv.get_many([place])[0] or b"")
    amounts = stored.events.columns[0].values.copy()
    amounts[1] = 3.5
    # Its checksums are right; only its content is wrong.
    planted = encode(SPEC.views[0], type(stored)(_with_amounts(stored.events, amounts), stored.applied_seq))
    kv.write([(place, planted)])
    report = check(served(kv, SPEC, {"a": "1"}, 5))
    assert report.verdict.outcome == "FAIL"
    found = [(m.column, m.served, m.recomputed) for m in report.mismatches]
    assert found == [("v__s", 5.5, 5.0), ("v__c", 3.5, 3.0)]
    assert "altered" in report.mismatches[0].reason


def test_sums_that_no_float_holds_do_not_end_the_check() -> None:
    spec = make_service(s=sum("amount", window="10us"), m=mean("amount", window="10us"), v=var("amount", window="10us"))
    rows = [row("x", amount=1e308), row("y", at=1, amount=1e308), row("z", at=2, amount=-1e308)]
    kv = store(rows, spec)
    report = check(*(served(kv, spec, {"a": "1"}, at) for at in range(1, 5)), rows=rows, spec=spec)
    assert (report.compared, report.mismatches) == (12, ())


def _with_amounts(events: Any, amounts: Any) -> Any:
    first = events.columns[0]
    return type(events)(events.ts, events.created, events.seq, events.identity, (type(first)(amounts, first.valid),))


def test_likely_reasons_are_named() -> None:
    kv = store(ROWS)
    record = served(kv, SPEC, {"a": "1"}, 3)
    assert record.features == [1, 2.0, 3.0]

    def reason(features: list[Any]) -> str:
        return check(_replace(record, features=features)).mismatches[0].reason

    assert reason([2, 2.0, 3.0]) == "an event at exactly T was counted"
    assert reason([0, 2.0, 3.0]) == "no event of the entity was visible"
    assert reason([1, 2.0, 2.0]) == "the event of ingest_seq 2 was missing"
    late = [*ROWS, row("w", at=2, amount=9.0)]
    changed = _replace(record, features=[2, 11.0, 3.0])
    report = check(changed, rows=late)
    assert report.mismatches[0].reason == "events after ingest_seq 3 were visible"
    twice = [row("x", amount=2.0), row("x", amount=2.0)]
    once = served(store(twice), SPEC, {"a": "1"}, 3)
    assert check(_replace(once, features=[2, 4.0, 2.0]), rows=twice).mismatches[0].reason == (
        "a repeated or corrected event was counted twice"
    )


HOUR = 3_600_000_000


def reasons(*records: PredictionRecord, rows: list[dict[str, Any]], spec: ServiceSpec, **more: Any) -> set[str]:
    report = verify(records, {("m", 1): spec}, lambda _source: ds.dataset(table(rows)), **more)
    assert report.verdict.outcome == "FAIL"
    return {one.reason for one in report.mismatches}


def test_a_clock_that_was_another_is_named() -> None:
    spec = make_service(n=count(window="3h"), s=sum("amount", window="2h"), c=last("amount"), lateness="1d")
    rows = [row(f"e{i}", at=i * HOUR, amount=float(i)) for i in range(12)]
    kv, at = store(rows, spec), 5 * HOUR + 5

    def taken_for(instant: int, **more: Any) -> set[str]:
        features = served(kv, spec, {"a": "1"}, instant).features
        return reasons(_replace(served(kv, spec, {"a": "1"}, at), features=features, **more), rows=rows, spec=spec)

    assert taken_for(8 * HOUR + 5) == {"clock: the features are those of 3 h after T, as of another time zone"}
    assert taken_for(3 * HOUR + 5) == {"clock: the features are those of 2 h before T, as of another time zone"}
    receipt = 10 * HOUR + 7
    assert taken_for(receipt, received_us=receipt) == {"clock: the features are those of the time of receipt, not of T"}


def test_a_shifted_clock_must_explain_the_right_values_too() -> None:
    spec = make_service(n=count(window="3h"), c=last("amount"), lateness="1d")
    rows = [row(f"e{i}", at=i * HOUR, amount=float(i)) for i in range(4)]
    record = served(store(rows, spec), spec, {"a": "1"}, HOUR + HOUR // 2)
    assert record.features == [2, 1.0]
    assert reasons(_replace(record, features=[3, 2.0]), rows=rows, spec=spec) == {
        "clock: the features are those of 1 h after T, as of another time zone"
    }
    assert reasons(_replace(record, features=[3, 1.0]), rows=rows, spec=spec) == {UNEXPLAINED}


def test_a_delay_that_was_left_out_or_taken_twice_is_named() -> None:
    features: dict[str, Any] = {"n": count(window="20us"), "c": last("amount")}
    late, at_once, twice = (make_service(**features, lateness="1h", delay=by) for by in ("7us", None, "14us"))
    rows = [row(f"e{i}", at=i * 5, amount=float(i)) for i in range(9)]
    record = served(store(rows, late), late, {"a": "1"}, 40)

    def computed_by(spec: ServiceSpec) -> set[str]:
        features = served(store(rows, spec), spec, {"a": "1"}, 40).features
        assert features != record.features
        return reasons(_replace(record, features=features), rows=rows, spec=late)

    assert computed_by(at_once) == {"clock: the view's delay was left out"}
    assert computed_by(twice) == {"clock: the view's delay was taken off twice"}


def test_another_definition_of_the_view_is_named_by_its_digest() -> None:
    old = make_service(n=count(window="10us"), s=sum("amount", window="10us"), lateness="1h")
    new = make_service(n=count(window="25us"), s=sum("points", window="25us"), more=count(window="1h"), lateness="1h")
    rows = [row(f"e{i}", at=i * 3, amount=1.5 * i, points=100 + i) for i in range(9)]
    record = served(store(rows, old), old, {"a": "1"}, 25)
    planted = _replace(record, features=served(store(rows, new), new, {"a": "1"}, 25).features[:2])
    assert planted.features != record.features
    assert reasons(planted, rows=rows, spec=old, others=new.views) == {
        f"definition: the view was computed by another definition of 'v', {new.views[0].digest[:8]} "
        f"instead of {old.views[0].digest[:8]}"
    }
    assert reasons(planted, rows=rows, spec=old) == {UNEXPLAINED}


def test_a_window_of_the_other_kind_is_named() -> None:
    exact = make_service(n=count(window="2h"), s=sum("amount", window="3h"), lateness="1d")
    hops = make_service(
        n=count(window=sawtooth("2h", hop="1h")), s=sum("amount", window=sawtooth("3h", hop="1h")), lateness="1d"
    )
    rows = [row(f"e{i}", at=i * HOUR // 4, amount=float(i)) for i in range(40)]
    at = 9 * HOUR + HOUR // 2 + 1
    of_exact, of_hops = (served(store(rows, spec), spec, {"a": "1"}, at) for spec in (exact, hops))
    assert reasons(_replace(of_exact, features=of_hops.features), rows=rows, spec=exact) == {
        "window: it began at a whole 1h, as a sawtooth window does, and not exactly"
    }
    assert reasons(_replace(of_hops, features=of_exact.features), rows=rows, spec=hops) == {
        "window: it was an exact sliding one, and not the sawtooth of the definition"
    }


def test_sketches_are_held_to_their_stated_error() -> None:
    spec = make_service(
        d=count_distinct("amount", window=sawtooth("2h", hop="1h"), sketch="hll"),
        q=quantile("amount", 0.5, window=sawtooth("2h", hop="1h"), sketch="kll"),
        lateness="1d",
    )
    rows = [row(f"e{i}", at=i, amount=float(i)) for i in range(1_000)]
    record = served(store(rows, spec), spec, {"a": "1"}, 2_000)
    assert check(record, rows=rows, spec=spec).verdict.outcome == "PASS"
    near, far = (_replace(record, features=[1_000 + off, 500.0 + off]) for off in (20, 60))
    assert check(near, rows=rows, spec=spec).verdict.outcome == "PASS"
    assert [m.column for m in check(far, rows=rows, spec=spec).mismatches] == ["v__d", "v__q"]


def test_only_so_many_differences_are_looked_into() -> None:
    record = served(store(ROWS), SPEC, {"a": "1"}, 5)
    wrong = _replace(record, features=[7, 7.0, 7.0])
    found = check(*[wrong] * 102).mismatches
    assert len(found) == 306
    assert [one.reason.startswith("not looked into") for one in found] == [False] * 300 + [True] * 6


def test_late_events_are_no_fault_and_are_counted() -> None:
    record = served(store(ROWS), SPEC, {"a": "1"}, 5)
    report = check(record, rows=[*ROWS, row("w", at=2, amount=9.0)])
    assert report.verdict.outcome == "PASS"
    assert report.changed_since == 2
    assert report.changed_by_view == {"v": 2}


def test_a_correction_that_moved_the_event_counts_only_from_its_number() -> None:
    moved = [*ROWS, row("x", a="12", known=1, amount=2.0)]
    before, after = served(store(ROWS), SPEC, {"a": "1"}, 5), served(store(moved), SPEC, {"a": "1"}, 5)
    report = check(before, after, served(store(moved), SPEC, {"a": "12"}, 5), rows=moved)
    assert report.verdict.outcome == "PASS"
    assert report.changed_since == 2


def test_nothing_or_only_defaults_is_inconclusive() -> None:
    assert check().verdict.outcome == "INCONCLUSIVE"
    report = check(served(store(ROWS), SPEC, {"a": "nobody"}, 5))
    assert report.verdict.outcome == "INCONCLUSIVE"
    assert report.compared == 3


def test_what_cannot_be_compared_is_counted_and_not_passed() -> None:
    record = served(store(ROWS), SPEC, {"a": "1"}, 5)
    odd = [
        _replace(record, version=2),
        _replace(record, error="timeout"),
        _replace(record, defaulted=True),
        _replace(record, features=[1]),
        _replace(record, entities={}),
        _replace(record, applied_seq={}),
        _replace(record, statuses={"*": "OUTSIDE_RETENTION"}),
    ]
    report = check(*odd)
    assert report.compared == 0
    assert report.decisions == 0
    assert sum_of(report.skipped) == 9
    assert report.verdict.outcome == "INCONCLUSIVE"


def sum_of(counts: dict[str, int]) -> int:
    total = 0
    for number in counts.values():
        total += number
    return total


def _replace(record: PredictionRecord, **changes: Any) -> PredictionRecord:
    fields = {name: getattr(record, name) for name in record.__struct_fields__}
    return PredictionRecord(**(fields | changes))


def test_on_demand_features_are_recomputed_from_what_was_served() -> None:
    code = "def ratio(x, s):\n    return x / s\n"
    ratio = OnDemandSpec("ratio", ("request:x", "v:s"), code, "float64")
    outputs = (*SPEC.outputs, ("ratio", "float64"), ("x", "float64"))
    spec = ServiceSpec("s", "ff" * 32, SPEC.views, (ratio,), (RequestSpec("x", "float64"),), outputs)
    record = served(store(ROWS), spec, {"a": "1"}, 5, x=10.0)
    assert record.features[-2:] == [2.0, 10.0]
    assert check(record, spec=spec).verdict.outcome == "PASS"
    report = check(_replace(record, features=[*record.features[:-2], 3.0, 10.0]), spec=spec)
    names = {("m", 1): ["ratio", "v__s"]}
    few = _replace(record, features=[2.0, 4.0])
    part = verify([few], {("m", 1): spec}, lambda _source: ds.dataset(table(ROWS)), columns=names)
    assert [(m.column, m.recomputed) for m in part.mismatches] == [("v__s", 5.0), ("ratio", 2.5)]
    assert [(m.column, m.served, m.recomputed) for m in report.mismatches] == [("ratio", 3.0, 2.0)]


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(worlds(), st.data())
def test_whatever_was_served_between_batches_verifies(world: World, data: st.DataObject) -> None:
    """The strongest claim: at any moment, with pruning, late and moved events, a logged vector can be recomputed."""
    kv, whole, records, start = MemoryStore(), table(world.rows), [], 0
    for end in [*world.cuts, len(world.rows)]:
        chunk = whole.slice(start, end - start)
        apply_batch(kv, world.spec.views, chunk, end, reread=lambda _view, _who, seq: whole.slice(0, seq))
        start = end
        entity, at = data.draw(st.sampled_from(world.questions))
        records.append(served(kv, world.spec, entity, at))
    report = verify(records, {("m", 1): world.spec}, lambda _source: ds.dataset(whole))
    assert report.mismatches == ()
    assert report == verify(records, {("m", 1): world.spec}, lambda _source: ds.dataset(whole))


def test_last_of_a_window_is_checked_too() -> None:
    spec = make_service(c=last("country", window="10us"), lateness="1h")
    rows = [row("x", country="AE")]
    report = check(served(store(rows, spec), spec, {"a": "1"}, 5), rows=rows, spec=spec)
    assert (report.verdict.outcome, report.non_default) == ("PASS", 1)


def test_what_a_policy_keeps_out_of_the_log_is_said_and_not_guessed() -> None:
    record = served(store(ROWS), SPEC, {"a": "1"}, 5)
    hidden = {"redacted": "drop"}
    report = check(record, _replace(record, features=[hidden, *record.features[1:]]))
    assert (report.compared, report.skipped, report.verdict.outcome) == (5, {"the value is redacted": 1}, "PASS")
    report = check(record, _replace(record, entities={"a": {"redacted": "hash:5e1f"}}))
    assert (report.compared, report.skipped, report.verdict.outcome) == (3, {"its entity is redacted": 1}, "PASS")


def test_an_on_demand_feature_of_a_redacted_input_is_not_verified() -> None:
    code = "def twice(x):\n    return x * 2\n"
    twice = OnDemandSpec("twice", ("request:x",), code, "float64")
    outputs = (*SPEC.outputs, ("twice", "float64"), ("x", "float64"))
    spec = ServiceSpec("s", "ff" * 32, SPEC.views, (twice,), (RequestSpec("x", "float64"),), outputs)
    record = served(store(ROWS, spec), spec, {"a": "1"}, 5, x=4.0)
    assert check(record, spec=spec).compared == 4
    hidden = {"redacted": "drop"}
    report = check(_replace(record, request={"x": hidden}, features=[*record.features[:4], hidden]), spec=spec)
    assert (report.compared, report.skipped) == (3, {"an input of its on-demand features is redacted": 1})
    report = check(_replace(record, features=[*record.features[:3], hidden, 4.0]), spec=spec)
    assert (report.compared, report.skipped) == (3, {"the value is redacted": 1})
