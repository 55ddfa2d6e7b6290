"""Cache: answers of a deterministic model that are given again."""

import msgspec

from falaj.definitions.declared import Declared
from falaj.kernel.duration import positive_duration_us
from falaj.kernel.errors import DefinitionError

_MOST_MIB = 16_384


class Cache(msgspec.Struct, metaclass=Declared, frozen=True):
    """Give a model's answer again to the same inputs, for a time and in so much memory of each gateway worker.

    Only for models whose answer depends on nothing but their inputs. The features are fetched all the same, so that no
    answer is older than its features: what is spared is the model.

    Args:
        ttl: How long an answer may be given again.
        max_mib: Memory for the answers of one model version in one worker, in MiB.
    """

    ttl: str = "1m"
    max_mib: int = 64

    def __post_init__(self) -> None:
        positive_duration_us(self.ttl, field="cache ttl")
        if not 1 <= self.max_mib <= _MOST_MIB:
            raise DefinitionError(
                f"cache max_mib = {self.max_mib} is out of range", hint=f"give 1 to {_MOST_MIB}, in MiB"
            )

    @property
    def ttl_s(self) -> float:
        """How long an answer may be given again, in seconds."""
        return positive_duration_us(self.ttl) / 1e6
