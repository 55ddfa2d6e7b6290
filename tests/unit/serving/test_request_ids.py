"""Request ids are unique, sort by time, and look like those of the kernel."""

import random
import re

from falaj.kernel.clock import ManualClock
from falaj.kernel.ids import id_maker
from falaj.serving.request_ids import RequestIds


def test_they_are_unique_and_sort_by_time() -> None:
    bits = random.Random(1).getrandbits
    one, other = RequestIds(bits), RequestIds(bits)
    made = [ids.make(now_us) for now_us in range(0, 50_000, 10) for ids in (one, other)]
    assert len(set(made)) == len(made)
    assert [m[:14] for m in made] == sorted(m[:14] for m in made)


def test_they_look_like_those_of_the_kernel() -> None:
    shape = re.compile("req_[0-9a-hjkmnp-tv-z]{22}")
    clock = ManualClock()
    clock.advance(1_700_000_000.123)
    ours, theirs = RequestIds().make(1_700_000_000_123_000), id_maker(clock)("req")
    assert shape.fullmatch(ours)
    assert shape.fullmatch(theirs)
    assert ours[:14] == theirs[:14]


def test_more_than_a_million_in_a_millisecond_take_new_random_bits() -> None:
    ids = RequestIds(random.Random(1).getrandbits)
    first = ids.make(0)
    ids._count = (1 << 20) - 1
    last, after = ids.make(0), ids.make(0)
    assert first[:18] == last[:18]
    assert after[:18] != last[:18]
