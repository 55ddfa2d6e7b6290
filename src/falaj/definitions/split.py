"""Split: which rows train and which test."""

from typing import Literal

import msgspec

from falaj.definitions.declared import Declared
from falaj.definitions.share import share_of
from falaj.kernel.errors import DefinitionError


class Split(msgspec.Struct, metaclass=Declared, frozen=True):
    """How a dataset is divided.

    Attributes:
        kind: "time" tests on the latest rows, with the label delay as a gap before them; "random" draws by seed.
        test: The share of rows that test, between 0 and 1.
        seed: For random splits.
    """

    kind: Literal["time", "random"]
    test: float
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.test < 1:
            raise DefinitionError(f"split test share {self.test} is not between 0 and 1", hint="write test='20%'")


def by_time(*, test: str | float = "20%") -> Split:
    """Test on the latest share of rows; rows whose label was not yet known when the test began train nothing."""
    return Split("time", share_of(test, "split test"))


def random(*, test: str | float = "20%", seed: int = 0) -> Split:
    """Test on a random share of rows."""
    return Split("random", share_of(test, "split test"), seed)
