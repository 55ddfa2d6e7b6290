"""Alert rules: the names of all that an alert can be about, so that a misspelt one is found."""

from collections.abc import Iterable
from fnmatch import fnmatchcase

from falaj.features.consistency import KIND as CONSISTENCY
from falaj.kernel.errors import InputError
from falaj.kernel.names import did_you_mean
from falaj.lifecycle.challenging import KIND as CHALLENGER
from falaj.lifecycle.load_watch import KIND as ENDPOINT_LOAD
from falaj.lifecycle.pipeline_starts import RULE as PIPELINE_START
from falaj.lifecycle.run_notices import RULE as PIPELINE
from falaj.lifecycle.store_watch import KIND as ONLINE_STORE
from falaj.monitoring.estimated import KIND as ESTIMATED_PERFORMANCE
from falaj.monitoring.routes import APPROVAL
from falaj.monitoring.source_quality import FRESHNESS, QUALITY

ALERT_RULES = (
    "drift",
    "performance",
    ESTIMATED_PERFORMANCE,
    CONSISTENCY,
    QUALITY,
    FRESHNESS,
    ONLINE_STORE,
    ENDPOINT_LOAD,
    PIPELINE,
    PIPELINE_START,
    APPROVAL,
    CHALLENGER,
)
"""What Falaj itself opens alerts about."""


def check_rule(pattern: str, more: Iterable[str] = ()) -> str:
    """Return a pattern of rules that covers one at least.

    Args:
        pattern: The name of a rule, or a pattern such as `pipeline*`.
        more: Further rules, such as those of alerts that were opened, and patterns that the settings have.

    Raises:
        InputError: It covers none: whoever gives it would wait for what never comes.

    Example:
        >>> check_rule("pipeline*")
        'pipeline*'
    """
    known = {*ALERT_RULES, *more}
    if pattern not in known and not any(fnmatchcase(rule, pattern) for rule in known):
        raise InputError(f"rule {pattern!r} is none that an alert has", hint=did_you_mean(pattern, known))
    return pattern
