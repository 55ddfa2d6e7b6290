"""A training set is known by all that decides which rows train: the label's delay as well as the split."""

import pyarrow as pa
import pyarrow.compute as pc

import falaj as fj
from falaj.lifecycle.dataset import SPLIT, build_dataset
from support.rooms_world import ADA, World, event, model, view


def rows_of(world: World, delay: str) -> pa.Table:
    over = view()
    wanted = model(over=over, label=fj.Label(over.source, "is_fraud", delay=delay))
    return world.rooms.datasets.load(build_dataset(world.rooms, wanted, ADA).digest)


def test_a_longer_delay_widens_the_gap_though_the_examples_stay(world: World) -> None:
    known = [event(n, label=n % 2) for n in range(100)]
    world.push(*known, *(event(n) for n in range(100, 400)))  # labels of the latest five hours are not known yet
    short, long = (rows_of(world, delay) for delay in ("1m", "30m"))
    assert len(short) == len(long) == 100
    start = pc.min(long.filter(pc.field(SPLIT) == "test")["event_timestamp"]).as_py()
    for rows, gap_minutes in ((short, 0), (long, 29)):
        assert len(rows.filter(pc.field(SPLIT) == "gap")) == gap_minutes
        last = pc.max(rows.filter(pc.field(SPLIT) == "train")["event_timestamp"]).as_py()
        assert (start - last).total_seconds() == 60 * (gap_minutes + 1)
    assert rows_of(world, "1m").equals(short)
