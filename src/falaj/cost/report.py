"""What use cost: the meter's sums times the prices in the settings."""

from datetime import datetime

import msgspec
import sqlalchemy as sa

from falaj.cost.meter import USAGE, Usage
from falaj.kernel.clock import to_us
from falaj.kernel.settings import CostSettings
from falaj.storage.metadata.database import Database

_SECONDS_PER_HOUR = 3600.0


class CostLine(msgspec.Struct, frozen=True):
    """What one subject used and what that cost.

    Attributes:
        used: The sums.
        amount: Their price.
        per_thousand_requests: `amount` over requests, times 1,000; None where none were served.
        currency: Of both amounts.
    """

    used: Usage
    amount: float
    per_thousand_requests: float | None
    currency: str


def price(used: Usage, prices: CostSettings) -> CostLine:
    """Return the cost of use.

    Example:
        >>> price(Usage("endpoint", "fraud", cpu_seconds=7200.0, requests=1000), CostSettings()).amount
        0.1
    """
    amount = used.cpu_seconds / _SECONDS_PER_HOUR * prices.cpu_core_hour
    per_thousand = amount / used.requests * 1000 if used.requests else None
    return CostLine(used, amount, per_thousand, prices.currency)


def report(
    db: Database, prices: CostSettings, *, since: datetime | None = None, until: datetime | None = None
) -> list[CostLine]:
    """Return one line per kind and subject, the dearest first.

    Args:
        db: The metadata database.
        prices: What a unit costs.
        since: Only use recorded at or after it.
        until: Only use recorded before it.
    """
    columns = (USAGE.c.kind, USAGE.c.subject)
    sums = [sa.func.sum(USAGE.c[name]).label(name) for name in ("cpu_seconds", "wall_seconds", "requests")]
    query = sa.select(*columns, *sums).group_by(*columns).order_by(*columns)
    if since is not None:
        query = query.where(USAGE.c.at >= to_us(since))
    if until is not None:
        query = query.where(USAGE.c.at < to_us(until))
    with db.read() as connection:
        lines = [
            price(Usage(row.kind, row.subject, row.cpu_seconds, row.wall_seconds, int(row.requests)), prices)
            for row in connection.execute(query)
        ]
    return sorted(lines, key=lambda line: -line.amount)
