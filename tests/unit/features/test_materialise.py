"""Materialising: atomic, repeatable, resumable, each view from where it stands."""

from collections.abc import Iterable, Mapping
from typing import Any

import pytest

import falaj as fj
from falaj.definitions.service_spec import ViewSpec
from falaj.features.compile import compile_view
from falaj.features.materialise import Applied, apply_batch, read_progress
from falaj.features.online import OnlineReader
from falaj.kernel.errors import DataError
from falaj.storage.keyvalue.memory import MemoryStore
from support.feature_worlds import SCHEMA, make_service, row, table

SPEC = make_service(n=fj.count(window="1s"), s=fj.sum("amount", window="1s"), lateness="1h")
ROWS = [row(f"e{i}", at=i, a=str(i % 3), amount=float(i)) for i in range(20)]


def everything(kv: MemoryStore) -> list[tuple[bytes, bytes]]:
    return kv.scan(b"", 1_000)


def test_a_repeat_changes_nothing() -> None:
    kv = MemoryStore()
    assert apply_batch(kv, SPEC.views, table(ROWS), 20) == Applied(20, 20, 3)
    before = everything(kv)
    assert apply_batch(kv, SPEC.views, table(ROWS), 20) == Applied(20, 0, 0)
    assert everything(kv) == before


class Failing(MemoryStore):
    """A store whose disk fills up after some writes."""

    def __init__(self, writes: int) -> None:
        super().__init__()
        self.left = writes

    def write(
        self,
        puts: Iterable[tuple[bytes, bytes]],
        deletes: Iterable[bytes] = (),
        *,
        unchanged: Mapping[bytes, bytes | None] | None = None,
    ) -> None:
        if not self.left:
            raise OSError(28, "No space left on device")
        self.left -= 1
        super().write(puts, deletes, unchanged=unchanged)


@pytest.mark.parametrize("writes", [0, 1, 3])
def test_what_was_cut_off_goes_on_where_it_stopped(writes: int) -> None:
    kv = Failing(writes)
    with pytest.raises(OSError, match="No space"):
        apply_batch(kv, SPEC.views, table(ROWS), 20, chunk_rows=5)
    assert read_progress(kv, SPEC.views)[0].applied_seq == 5 * writes
    kv.left = 10
    done: list[tuple[int, int]] = []
    apply_batch(kv, SPEC.views, table(ROWS), 20, chunk_rows=5, on_chunk=lambda *at: done.append(at))
    assert done[-1] == (20 - 5 * writes, 20 - 5 * writes)
    whole = MemoryStore()
    apply_batch(whole, SPEC.views, table(ROWS), 20, chunk_rows=5)
    assert everything(kv) == everything(whole)


def test_a_new_view_is_brought_up_beside_those_that_are_ahead() -> None:
    kv, old = MemoryStore(), SPEC.views[0]
    apply_batch(kv, [old], table(ROWS), 20)
    new = make_service(m=fj.mean("amount", window="1s"), lateness="1h").views[0]
    assert [p.applied_seq for p in read_progress(kv, [old, new])] == [20, 0]
    before = dict(everything(kv))
    apply_batch(kv, [old, new], table(ROWS).slice(0, 7), 7)
    assert [p.applied_seq for p in read_progress(kv, [old, new])] == [20, 7]
    assert {k: v for k, v in everything(kv) if k.startswith(old.namespace)} == before
    apply_batch(kv, [old, new], table(ROWS).slice(7), 25)
    assert [p.applied_seq for p in read_progress(kv, [old, new])] == [25, 25]


def test_numbers_without_rows_are_passed() -> None:
    kv = MemoryStore()
    apply_batch(kv, SPEC.views, table([]), 9)
    assert read_progress(kv, SPEC.views)[0].applied_seq == 9
    assert read_progress(kv, SPEC.views)[0].watermark_us(SPEC.views[0]) is None
    apply_batch(kv, SPEC.views, table(ROWS, first_seq=10), 29)
    assert read_progress(kv, SPEC.views)[0].watermark_us(SPEC.views[0]) == 19 - 3_600_000_000


def test_rows_out_of_order_or_of_another_type_are_refused() -> None:
    with pytest.raises(DataError, match="order of their numbers"):
        apply_batch(MemoryStore(), SPEC.views, table(ROWS).take([1, 0]), 20)
    rows = table(ROWS)
    with pytest.raises(DataError, match="'amount' is string, and view 'v' needs float64"):
        bad = rows.set_column(rows.column_names.index("amount"), "amount", rows["event"])
        apply_batch(MemoryStore(), SPEC.views, bad, 20)
    with pytest.raises(DataError, match="no column 'amount'"):
        apply_batch(MemoryStore(), SPEC.views, rows.drop_columns(["amount"]), 20)


def timeless_view(*, has_id: bool) -> ViewSpec:
    source = fj.Source("rows", stream=fj.Push(), id="event" if has_id else None, schema=SCHEMA)
    return compile_view(
        fj.FeatureView("v", entity=fj.Entity("a", key="a"), source=source, features={"c": fj.column("country")}), SCHEMA
    )


@pytest.mark.parametrize("has_id", [True, False])
def test_a_timeless_view_shows_the_latest_row_at_any_instant(has_id: bool) -> None:
    view = timeless_view(has_id=has_id)
    kv = MemoryStore()
    rows = [row("x", country="AE"), row("y", country="OM"), row("z", a="2", country="SA")]
    apply_batch(kv, [view], table(rows), 3)
    spec = SPEC.__class__("s", "00", (view,), (), (), (("v__c", "string"),))
    answers = OnlineReader(kv).read(spec, [{"a": "1"}, {"a": "2"}, {"a": "1"}], [-(10**15), 0, 10**18])
    assert answers.values == [["OM"], ["SA"], ["OM"]]


def test_a_correction_brings_the_row_before_it_back() -> None:
    view = timeless_view(has_id=True)
    kv = MemoryStore()
    moved: dict[str, Any] = row("y", a="2", known=1, country="OM")
    apply_batch(kv, [view], table([row("x", country="AE"), row("y", country="OM")]), 2)
    apply_batch(kv, [view], table([moved], first_seq=3), 3)
    spec = SPEC.__class__("s", "00", (view,), (), (), (("v__c", "string"),))
    assert OnlineReader(kv).read(spec, [{"a": "1"}, {"a": "2"}], [0, 0]).values == [["AE"], ["OM"]]


def test_an_event_from_the_future_expires_nobody_else() -> None:
    kv = MemoryStore()
    spec = make_service(n=fj.count(window="10us"))
    rows = table([row("x", at=0), row("clock", at=10**15, a="9"), row("y", at=1)])
    arrived = rows.append_column("_ingested_at", rows["_event_ts"].take([0, 0, 2]))
    apply_batch(kv, spec.views, arrived, 3)
    asked = [({"a": "1"}, 2), ({"a": "9"}, 10**15), ({"a": "9"}, 10**15 + 1)]
    answers = OnlineReader(kv).read(spec, [entity for entity, _ in asked], [at for _, at in asked])
    assert answers.values == [[2], [0], [1]]
    assert read_progress(kv, spec.views)[0].latest_us == 1
