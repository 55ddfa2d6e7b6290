"""Numbers that operations take: bounded, so that none overflows a column or asks for everything at once."""

from typing import Annotated

from msgspec import Meta

MOST_ROWS = 10_000

Limit = Annotated[int, Meta(ge=1, le=MOST_ROWS)]
"""Most rows of an answer."""

VersionNumber = Annotated[int, Meta(ge=0, le=2**31 - 1)]
"""A model version; they begin at 1."""

Sequence = Annotated[int, Meta(ge=0, le=2**63 - 1)]
"""The number of a record."""

Offset = Annotated[int, Meta(ge=0, le=2**63 - 1)]
"""A place in a file, in bytes."""

SampleSize = Annotated[int, Meta(ge=1, le=1_000_000)]
"""Most decisions to look at."""
