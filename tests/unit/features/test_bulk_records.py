"""Records laid out together have the bytes of records written one by one."""

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from falaj.definitions.aggregation import (
    column,
    count,
    count_distinct,
    first,
    last,
    last_n,
    last_non_null,
    mean,
    quantile,
    sum,
)
from falaj.definitions.service_spec import ServiceSpec
from falaj.features.bulk_records import by_entity, encode_new
from falaj.features.merge import merge
from falaj.features.rows import entity_rows
from falaj.features.status import OUTSIDE_RETENTION
from support.feature_worlds import AMOUNTS, POINTS, World, agree, make_service, naive, online, row, table

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


PLAIN: dict[str, dict[str, Any]] = {
    "windows": WINDOWS | {"amounts": count("amount", window="25us"), "first": first("amount", window="25us")},
    "values": {
        "distinct": count_distinct("amount", window="25us"),
        "median": quantile("points", 0.5, window="25us"),
        "three": last_n("amount", 3, window="10us"),
        "known": last_non_null("known", window="25us"),
        "last": last("points"),
    },
    "columns": {name: column(name) for name in ("amount", "points", "known")},
    "filtered": {
        "spent": sum("doubled", window="25us", where="points > -9"),
        "rows": count("amount", window="10us", where="points > -9"),
        "doubled": column("doubled"),
    },
}


@pytest.mark.parametrize("entity", ["text", "number", "pair", "all"])
@pytest.mark.parametrize("name", PLAIN)
def test_many_fresh_entities_answer_as_their_events_say(name: str, entity: str) -> None:
    """Through `apply_batch`, with ids, nulls, ties, corrections that move events, null keys, delay and pruning."""
    for seed in range(6):
        dice = random.Random(f"{name} {entity} {seed}")
        spec = make_service(
            entity,
            has_id=seed % 2 == 0,
            lateness="0s" if seed < 3 else "1h",
            ttl=dice.choice([None, "15us"]),
            delay=dice.choice([None, "7us"]),
            **PLAIN[name],
        )
        world = crowd(spec, dice, null=dice.choice([0.0, 0.02]))
        answers, newest = online(world), max(row["at"] for row in world.rows)
        for i, (question, expected) in enumerate(zip(world.questions, naive(world), strict=True)):
            row_of = zip(world.view.features, answers.values[i], expected, answers.statuses[i], strict=True)
            for feature, got, want, status in row_of:
                if status == OUTSIDE_RETENTION:
                    assert question[1] < newest + world.view.delay_us
                else:
                    assert agree(world, feature, question, got, want), (seed, feature, question, got, want)


def crowd(spec: ServiceSpec, dice: random.Random, *, null: float) -> World:
    """Some hundred entities whose first rows come all at once, and more rows that correct and move some of them."""

    def known(value: Any) -> Any:
        return None if dice.random() < null else value

    rows = [
        row(
            known(f"e{dice.randrange(400)}"),
            at=dice.choice([0, 5, 10, dice.randint(-40, 40)]),
            known=known(dice.randint(-3, 6)),
            a=known(str(dice.randrange(99))),
            b=known(dice.choice(["23", "3", ""])),
            n=known(dice.randint(-50, 50)),
            amount=known(dice.choice([0.0, -0.0, 57.16, 1e15, dice.uniform(-9, 9)])),
            points=known(dice.randint(-5, 5)),
        )
        for _ in range(400)
    ]
    asked = [dice.choice(rows) for _ in range(15)]
    edges = [0, 1, 7, 10, 15, 25]
    return World(
        spec,
        rows,
        [300],
        [
            (
                {"a": r["a"] or "0", "b": r["b"] or "", "n": r["n"] or 0},
                dice.choice([40, 47, 55, r["at"] + dice.choice(edges)]),
            )
            for r in asked
        ],
    )
