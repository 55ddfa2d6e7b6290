"""Records laid out together have the bytes of records written one by one."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from falaj.definitions.aggregation import column, count, mean, sum
from falaj.definitions.service_spec import ServiceSpec
from falaj.features.bulk_records import by_entity, encode_new
from falaj.features.merge import merge
from falaj.features.rows import entity_rows
from support.feature_worlds import AMOUNTS, POINTS, make_service, row, table

ROW = st.fixed_dictionaries(
    {
        "a": st.sampled_from(["1", "12", "3", None]),
        "at": st.integers(-40, 40),
        "known": st.one_of(st.none(), st.integers(-1, 1)),
        "amount": AMOUNTS,
        "points": POINTS,
    }
)
WINDOWS: dict[str, Any] = {
    "n": count(window="10us"),
    "spent": sum("amount", window="25us"),
    "mean": mean("amount", window="10us"),
    "points": sum("points", window="25us"),
}
SERVICES = {
    "windows": make_service(has_id=False, **WINDOWS),
    "windows, ids": make_service(has_id=True, **WINDOWS),
    "columns": make_service(has_id=False, amount=column("amount"), known=column("known")),
    "both": make_service(has_id=True, amount=column("amount"), **WINDOWS),
}


@pytest.mark.parametrize("name", SERVICES)
@given(rows=st.lists(ROW, min_size=1, max_size=20), cutoff=st.integers(-50, 50))
@settings(deadline=None)
def test_the_bytes_are_the_same(name: str, rows: list[dict[str, Any]], cutoff: int) -> None:
    service: ServiceSpec = SERVICES[name]
    view = service.views[0]
    # Values without nulls as often as not, since a null is written one by one
    rows = [
        {k: 1 if v is None and k in ("amount", "points") and i % 8 else v for k, v in r.items()}
        for i, r in enumerate(rows)
    ]
    written = table([row(**r) | {"event": str(i)} for i, r in enumerate(rows)])
    rows_of = entity_rows(view, written)
    slices = by_entity(rows_of.entity, rows_of.keys, rows_of.events)
    keys = list(slices)
    if not keys:
        return
    many = encode_new(view, slices, keys, applied_seq=len(rows), watermark_us=cutoff)
    for key, raw in zip(keys, many, strict=True):
        if raw is not None:
            one = merge(view, None, slices.slice_of(key), applied_seq=len(rows), watermark_us=cutoff)
            assert raw == one


def test_hardly_any_record_of_plain_numbers_is_left_to_be_written_one_by_one() -> None:
    rng = np.random.default_rng(1)
    rows = [
        row(None, at=int(rng.integers(0, 99)), a=str(i % 50), amount=float(rng.lognormal(3, 1)), points=1)
        for i in range(500)
    ]
    for service in SERVICES.values():
        view = service.views[0]
        found = entity_rows(view, table([r | {"known": r["at"]} for r in rows]))
        slices = by_entity(found.entity, found.keys, found.events)
        many = encode_new(view, slices, list(slices), applied_seq=500, watermark_us=0)
        assert None not in many
