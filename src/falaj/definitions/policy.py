"""Policy: who lets a version out, after how long, and what may happen without a person."""

from collections.abc import Sequence

import msgspec

from falaj.definitions.declared import Declared
from falaj.kernel.duration import duration_us
from falaj.kernel.errors import DefinitionError
from falaj.kernel.names import check_name, did_you_mean

APPROVERS = ("owner", "engineer", "approver")
"""The roles that may approve."""

_ACTOR = "actor:"


class Policy(msgspec.Struct, metaclass=Declared, frozen=True):
    """Rules for promotion. A project may have one for each of some models, and one for all others.

    Args:
        name: The policy's name.
        auto_promote: Let a version that passed its gate go to production without an approval. Off by default.
        approvals: How many approvals by others a promotion needs, each by another person.
        models: The models that it is for; empty for all that no other policy names.
        approvers: Whose approvals count: roles, or `actor:NAME`; empty for every role that may approve.
        expires: How long a question for an approval stays open, such as "7d", and how long an approval waits for the
            others that are needed; empty for as long as it takes.
        soak: How long an approved version stands in staging before it gets traffic.
        quiet: Let no version out while an alert is open that is about neither another endpoint nor the drift or the
            quality of what the version is to replace.
        accept_inconclusive: Let a version go on whose gate had too little evidence, and did not fail. Off by default.

    Raises:
        DefinitionError: A number or a time is out of range, an approver is no role that may approve, or fewer people
            than `approvals` could.

    Example:
        >>> policy = Policy("cards", models=["fraud"], approvals=2, approvers=["approver"], soak="24h")
        >>> policy.counts("risk-officer", "approver"), policy.counts("ada", "engineer")
        (True, False)
    """

    name: str = "default"
    auto_promote: bool = False
    approvals: int = 1
    models: Sequence[str] = ()
    approvers: Sequence[str] = ()
    expires: str = ""
    soak: str = "0s"
    quiet: bool = False
    accept_inconclusive: bool = False

    def __post_init__(self) -> None:
        check_name("policy", self.name)
        if self.approvals < 1:
            raise DefinitionError(f"policy approvals {self.approvals} is below 1", hint="use auto_promote=True instead")
        for model in self.models:
            check_name("model", model)
        duration_us(self.soak, field=f"policy {self.name!r} soak")
        if self.expires and duration_us(self.expires, field=f"policy {self.name!r} expires") == 0:
            raise DefinitionError(f"policy {self.name!r} expires at once", hint="leave expires out for never")
        roles = [one for one in self.approvers if not one.startswith(_ACTOR)]
        for role in roles:
            if role not in APPROVERS:
                raise DefinitionError(
                    f"policy {self.name!r}: approver {role!r} is no role that may approve",
                    hint=did_you_mean(role, [*APPROVERS, "actor:NAME"]),
                )
        if self.approvers and not roles and len(set(self.approvers)) < self.approvals:
            raise DefinitionError(
                f"policy {self.name!r} names {len(set(self.approvers))} of the {self.approvals} people that it needs",
                hint="name more approvers, or a role",
            )

    def counts(self, actor: str, role: str) -> bool:
        """Return whether an approval by this person is one that the policy asks for."""
        return not self.approvers or role in self.approvers or f"{_ACTOR}{actor}" in self.approvers

    def asks(self) -> str:
        """Return whom it asks, for people.

        Example:
            >>> Policy(approvals=2, approvers=["approver", "actor:ada"]).asks()
            'approver or actor:ada'
        """
        return " or ".join(self.approvers or APPROVERS)
