"""Status: why an online feature has the value that it has."""

from typing import Final

PRESENT: Final = "PRESENT"
NULL_VALUE: Final = "NULL_VALUE"
"""There are rows, and the value over them is null."""
NOT_FOUND: Final = "NOT_FOUND"
"""There is no record of the entity, no row, or the key is null."""
OUTSIDE_MAX_AGE: Final = "OUTSIDE_MAX_AGE"
"""The latest row is older than the view's ttl."""
OUTSIDE_RETENTION: Final = "OUTSIDE_RETENTION"
"""T lies before what the store still keeps of this entity, so any number would be a guess."""
