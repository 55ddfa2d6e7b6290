"""Feast, asked from outside: `feast_worker.py` in the peer's environment."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from peers.asked import Asked, PeerFailed, asked

_WORKER = Path(__file__).parent / "feast_worker.py"

Feast = Asked
FeastFailed = PeerFailed


@contextmanager
def feast(python: Path, timezone: str = "UTC") -> Iterator[Feast]:
    """Run a Feast for as long as the block lasts.

    Args:
        python: The Python of its environment, as `make.python_of` gives it.
        timezone: The zone that its machine seems to be in.
    """
    with asked(python, _WORKER, {"TZ": timezone}) as running:
        yield running
