"""The cache: nothing older than its bound, nothing above its number."""

from hypothesis import given
from hypothesis import strategies as st

from falaj.kernel.clock import ManualClock
from falaj.storage.keyvalue.cached import CachedStore
from falaj.storage.keyvalue.memory import MemoryStore

KEYS = [b"a", b"b", b"c"]
BOUND_S = 1.0


def read(store: CachedStore, *keys: bytes) -> list[bytes | None]:
    with store.snapshot() as snapshot:
        return [None if value is None else bytes(value) for value in snapshot.get_many(keys)]


steps = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.sampled_from(KEYS)),
        st.tuples(st.just("wait"), st.sampled_from([0.25, 0.5, 1.0, 1.25])),
        st.tuples(st.just("read"), st.lists(st.sampled_from(KEYS), min_size=1, max_size=4)),
    ),
    max_size=40,
)


@given(steps, st.integers(1, 3))
def test_a_value_was_so_within_the_bound(steps: list[tuple[str, object]], max_entries: int) -> None:
    clock, behind = ManualClock(), MemoryStore()
    store = CachedStore(behind, BOUND_S, clock.monotonic, max_entries)
    history: dict[bytes, list[tuple[float, bytes | None]]] = {key: [(-1e9, None)] for key in KEYS}
    for number, (step, what) in enumerate(steps):
        if step == "wait":
            assert isinstance(what, float)
            clock.advance(what)
        elif step == "write":
            assert isinstance(what, bytes)
            value = b"%d" % number
            behind.write([(what, value)])
            history[what].append((clock.monotonic(), value))
        else:
            assert isinstance(what, list)
            for key, given_value in zip(what, read(store, *what), strict=True):
                assert given_value in held_since(history[key], clock.monotonic() - BOUND_S)
                assert store.get_many([key]) == [history[key][-1][1]]
            assert len(store._kept) <= max_entries


def held_since(history: list[tuple[float, bytes | None]], since_s: float) -> set[bytes | None]:
    """Return what a key's value was at any time from then on."""
    before = [value for at, value in history if at < since_s]
    return {*before[-1:], *(value for at, value in history if at >= since_s)}


def test_what_was_read_is_given_again_up_to_the_bound() -> None:
    clock, behind = ManualClock(), MemoryStore()
    store = CachedStore(behind, BOUND_S, clock.monotonic)
    assert read(store, b"a") == [None]
    behind.write([(b"a", b"1")])
    clock.advance(BOUND_S)
    assert read(store, b"a", b"a") == [None, None]
    clock.advance(0.001)
    assert read(store, b"a") == [b"1"]
    with store.snapshot() as snapshot:
        assert snapshot.get(b"a") == b"1"


def test_its_own_writer_reads_what_it_wrote() -> None:
    store = CachedStore(MemoryStore(), BOUND_S, ManualClock().monotonic)
    assert read(store, b"a") == [None]
    store.write([(b"a", b"1")], unchanged={b"a": None})
    assert read(store, b"a") == [b"1"]
    assert store.scan(b"a", 1) == [(b"a", b"1")]
    store.close()
