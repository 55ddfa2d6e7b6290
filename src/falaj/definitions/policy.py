"""Policy: what may happen without a person."""

import msgspec

from falaj.kernel.errors import DefinitionError
from falaj.kernel.names import check_name


class Policy(msgspec.Struct, frozen=True):
    """Rules for promotion; one per project.

    Args:
        name: The policy's name.
        auto_promote: Let a version that passed its gate go to production without an approval. Off by default.
        approvals: How many approvals by others a promotion needs.
    """

    name: str = "default"
    auto_promote: bool = False
    approvals: int = 1

    def __post_init__(self) -> None:
        check_name("policy", self.name)
        if self.approvals < 1:
            raise DefinitionError(f"policy approvals {self.approvals} is below 1", hint="use auto_promote=True instead")
