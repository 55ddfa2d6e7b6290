"""Layout: where everything stands in an entity record, for the writer (`record`) and the reader (`windows`).

A record is a sequence of eight-byte words, little-endian:

    header      MAGIC, checksums, events, applied_seq, floor_us, meta_at, words, columns
    columns     SLOTS words for each stored column, see below
    timestamps  int64 per event, in the order (event time, created, ingest_seq)
    columns'    values (only those that are not null), then what each column needs:
                counts: uint32 per event plus one, how many values stand before it; absent where nothing is null
                sums:   running sums as whole numbers, so that a difference of two is exact (see `record`)
    meta        created, ingest_seq and identity of each event: for merging only, the reader never touches it
"""

import sys
from typing import Final

from falaj.kernel.errors import Unsupported

MAGIC: Final = int.from_bytes(b"FALAJ\x00\x00\x01", "little")
WORD: Final = 8

CHECKSUMS: Final = 1
EVENTS: Final = 2
APPLIED_SEQ: Final = 3
FLOOR_US: Final = 4
META_AT: Final = 5
WORDS: Final = 6
COLUMNS: Final = 7
HEADER_WORDS: Final = 8

SLOTS: Final = 8
VALUES_AT: Final = 0
COUNTS_AT: Final = 1  # 0: no nulls
SUMS_AT: Final = 2  # 0: no running sums
LOW_SUMS_AT: Final = 3
FLAGS: Final = 4
SCALE: Final = 5  # of a float column's sums; where the offsets of a string column's texts stand
LOW_SCALE: Final = 6  # where the texts stand
VALUES: Final = 7

DIRECT: Final = 1  # the running sums would not be exact: add the slice up
NONFINITE: Final = 2  # NaN or an infinity is among the values

NOTHING_DROPPED: Final = -(1 << 63)
"""The floor of a record from which nothing was pruned."""

INT64_MIN: Final = -(1 << 63)
INT64_MAX: Final = (1 << 63) - 1

if sys.byteorder != "little":
    raise Unsupported("entity records are little-endian, and this machine is not")


def timestamps_at(columns: int) -> int:
    """Return the word at which the timestamps begin.

    Example:
        >>> timestamps_at(0)
        8
    """
    return HEADER_WORDS + SLOTS * columns


def words_of(size_bytes: int) -> int:
    """Return how many words hold that many bytes.

    Example:
        >>> words_of(9)
        2
    """
    return -(-size_bytes // WORD)
