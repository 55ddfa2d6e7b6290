"""WarmStart: how a new version continues the one in production, instead of learning everything anew."""

import msgspec

from falaj.definitions.declared import Declared
from falaj.kernel.errors import DefinitionError


class WarmStart(msgspec.Struct, metaclass=Declared, frozen=True):
    """How training continues the version in production on the rows that it has not learned from.

    Args:
        rounds: Boosting rounds that each continuation adds, so that trees number at most `num_trees` and so often
            `rounds`; passes over the new rows for what learns by steps.
        max_generations: After so many continuations in a row the next training is a full one.
        min_rows: With fewer new rows than this, training is a full one.

    Raises:
        DefinitionError: A number is below 1.

    Example:
        >>> WarmStart(rounds=10).max_generations
        10
    """

    rounds: int = 20
    max_generations: int = 10
    min_rows: int = 100

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if getattr(self, name) < 1:
                raise DefinitionError(f"warm start: {name} = {getattr(self, name)} is below 1", hint="give 1 or more")
