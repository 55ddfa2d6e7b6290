"""Verdict: a monitor's or a rollout's finding, a plain value that others act on."""

from typing import Any, Literal

import msgspec

Outcome = Literal["PASS", "FAIL", "INCONCLUSIVE"]


class Verdict(msgspec.Struct, frozen=True):
    """One finding.

    Attributes:
        kind: What was judged, e.g. "drift", "performance", "canary".
        subject: The endpoint, model or view.
        outcome: PASS, FAIL, or INCONCLUSIVE for too little evidence.
        reason: One sentence for people.
        evidence: The numbers it rests on; enough to judge again.
        at_us: When, in microseconds.
        version: The model version that was judged, such as `fraud/3`; empty where it is about none.
    """

    kind: str
    subject: str
    outcome: Outcome
    reason: str
    evidence: dict[str, Any] = {}
    at_us: int = 0
    version: str = ""
