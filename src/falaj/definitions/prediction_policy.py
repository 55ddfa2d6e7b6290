"""PredictionPolicy: which of an endpoint's decisions are written down, and what of them."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec

from falaj.definitions.declared import Declared
from falaj.kernel.errors import DefinitionError

Redaction = Literal["drop", "hash"]
"""`drop` keeps nothing of a value; `hash` keeps a keyed hash, which tells equal values and nothing else."""

CLIENT_ID = "client_id"
"""The caller's own id of a request, which may be redacted like a field."""

MARK = "redacted"
"""A record has `{"redacted": "drop"}` or `{"redacted": "hash:HEX"}` where a redacted value stood: no field has an
object for its value, so it cannot be mistaken for one."""


class PredictionPolicy(msgspec.Struct, metaclass=Declared, frozen=True):
    """What of an endpoint's decisions the prediction log keeps.

    Args:
        sample_ratio: The share of decisions that get a record, above 0 and at most 1. Every decision is counted.
        redact: Name to "drop" or "hash": of an entity key, a request field, a feature (`view__feature`, or an on-demand
            view's name), or `client_id`. It holds wherever that name stands in a record.

    Example:
        >>> PredictionPolicy(redact={"card_id": "hash"}).restricts
        True
    """

    sample_ratio: float = 1.0
    redact: Mapping[str, Redaction] = {}

    def __post_init__(self) -> None:
        if not 0 < self.sample_ratio <= 1:
            raise DefinitionError(
                f"prediction_log sample_ratio {self.sample_ratio} is out of range",
                hint="above 0 and at most 1; 1 keeps every decision",
            )
        for name, how in self.redact.items():
            if how not in ("drop", "hash"):
                raise DefinitionError(f"prediction_log redact {name!r}: {how!r}", hint='write "drop" or "hash"')

    @property
    def restricts(self) -> bool:
        """Whether anything is left out."""
        return self.sample_ratio < 1 or bool(self.redact)

    @property
    def needs_key(self) -> bool:
        """Whether hashes are made."""
        return "hash" in self.redact.values()

    @classmethod
    def strictest(cls, policies: "Iterable[PredictionPolicy]") -> "PredictionPolicy":
        """Return the policy that leaves out what any of them does; where one drops and another hashes, it drops.

        Example:
            >>> hashing, dropping = (PredictionPolicy(redact={"card_id": how}) for how in ("hash", "drop"))
            >>> PredictionPolicy.strictest([hashing, dropping, PredictionPolicy(0.5)])
            PredictionPolicy(sample_ratio=0.5, redact={'card_id': 'drop'})
        """
        redact: dict[str, Redaction] = {}
        ratio = 1.0
        for policy in policies:
            ratio = min(ratio, policy.sample_ratio)
            for name, how in policy.redact.items():
                redact[name] = "drop" if "drop" in (how, redact.get(name)) else how
        return cls(ratio, redact)


def prediction_log(*, sample_ratio: float = 1.0, redact: Mapping[str, Redaction] = {}) -> PredictionPolicy:
    """Declare what of an endpoint's decisions is written down.

    Args:
        sample_ratio: The share of decisions that get a record; every decision is counted.
        redact: Name of an entity key, request field, feature or `client_id` to "drop" or "hash".
    """
    return PredictionPolicy(sample_ratio, dict(redact))


def is_redacted(value: Any) -> bool:
    """Whether this stands in a record for a value that was not written down.

    Example:
        >>> is_redacted({"redacted": "drop"}), is_redacted("c1")
        (True, False)
    """
    return type(value) is dict and MARK in value


def shown(value: Any) -> Any:
    """Return a value of a record as people read it.

    Example:
        >>> shown({"redacted": "drop"}), shown({"redacted": "hash:5e1f"}), shown(12.5)
        ('redacted', 'redacted (hash:5e1f)', 12.5)
    """
    if not is_redacted(value):
        return value
    return "redacted" if value[MARK] == "drop" else f"redacted ({value[MARK]})"
