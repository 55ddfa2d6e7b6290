"""Layout: where everything stands in an entity record, for the writer (`record`) and the reader (`windows`).

A record is a sequence of eight-byte words, little-endian:

    header      MAGIC, checksums, events, applied_seq, floor_us, meta_at, words, columns, newest, complete, carried,
                tiles_at, tiles_size
    latest      the newest event's value of each column, one word each; those of texts say where the text stands
    columns     SLOTS words for each stored column, see below
    timestamps  int64 per event, in the order (event time, created, ingest_seq); the first `carried` of them are below
                the floor, each kept because some feature takes a single row at any age
    columns'    values (only those that are not null), then what each column needs:
                counts: uint32 per event plus one, how many values stand before it; absent where nothing is null
                sums:   running sums as whole numbers, so that a difference of two is exact (see `record`)
                tails:  per value, the aggregates of it and all after it, for those that `tails_of` names
    tiles       what sawtooth windows keep of older events, see `tiles`
    meta        created, ingest_seq and identity of each event: for merging only, the reader never touches it
"""

import sys
from typing import Final

from falaj.definitions.service_spec import ViewSpec
from falaj.kernel.errors import Unsupported

MAGIC: Final = int.from_bytes(b"FALAJ\x00\x00\x03", "little")
WORD: Final = 8

CHECKSUMS: Final = 1
EVENTS: Final = 2
APPLIED_SEQ: Final = 3
FLOOR_US: Final = 4
META_AT: Final = 5
WORDS: Final = 6
COLUMNS: Final = 7
NEWEST: Final = 8  # the newest event's time; INT64_MIN where there is none
COMPLETE: Final = 9  # 1: none of its values is null, and `latest` holds them all
CARRIED: Final = 10
TILES_AT: Final = 11  # 0: no tiles
TILES_SIZE: Final = 12  # in bytes
HEADER_WORDS: Final = 13

SLOTS: Final = 9
VALUES_AT: Final = 0
COUNTS_AT: Final = 1  # 0: no nulls
SUMS_AT: Final = 2  # 0: no running sums
LOW_SUMS_AT: Final = 3
FLAGS: Final = 4
SCALE: Final = 5  # of a float column's sums; where the offsets of a string column's texts stand
LOW_SCALE: Final = 6  # where the texts stand
VALUES: Final = 7
TAILS_AT: Final = 8  # 0: none

DIRECT: Final = 1  # the running sums would not be exact: add the slice up
NONFINITE: Final = 2  # NaN or an infinity is among the values

SPARE_BITS: Final = 8
"""How many bits a float column's running sums leave for greater values than there are."""
LEAST_UNIT: Final = -1000
"""The power of two that is the least unit of such sums."""

NOTHING_DROPPED: Final = -(1 << 63)
"""The floor of a record from which nothing was pruned."""

INT64_MIN: Final = -(1 << 63)
INT64_MAX: Final = (1 << 63) - 1

TAIL_OF: Final = {"max": "max", "min": "min", "std": "std", "var": "std"}
"""The tails that a function is looked up in; a variance is the square of a deviation."""

_NUMBERS = ("float64", "int64", "timestamp")

if sys.byteorder != "little":
    raise Unsupported("entity records are little-endian, and this machine is not")


def timestamps_at(columns: int) -> int:
    """Return the word at which the timestamps begin.

    Example:
        >>> timestamps_at(0)
        13
    """
    return HEADER_WORDS + (1 + SLOTS) * columns


def tails_of(view: ViewSpec, column: str, dtype: str) -> tuple[str, ...]:
    """Return which aggregates of a column a record keeps for every tail of its values, in order.

    Nearly every window reaches up to the newest event, so what would have to walk its values is looked up instead.

    Args:
        view: The view.
        column: One of its columns.
        dtype: The column's type.
    """
    if dtype not in _NUMBERS:
        return ()
    exact = [f.function for f in view.features if f.column == column and f.hop_us is None]
    return tuple(dict.fromkeys(TAIL_OF[function] for function in sorted(exact) if function in TAIL_OF))


def is_summed(view: ViewSpec, column: str) -> bool:
    """Return whether a record keeps running sums of a column."""
    return any(f.column == column and f.function in ("sum", "mean") and f.hop_us is None for f in view.features)


def takes_latest(view: ViewSpec) -> bool:
    """Return whether a feature takes the latest event however old it is, so that one stays when all are dropped."""
    return any(f.function in ("column", "last") and f.window_us is None and f.rows is None for f in view.features)


def words_of(size_bytes: int) -> int:
    """Return how many words hold that many bytes.

    Example:
        >>> words_of(9)
        2
    """
    return -(-size_bytes // WORD)
