"""Card precision at k: of the cards that a day's k investigations can look at, how many are truly compromised.

The metric of the Fraud Detection Handbook (https://fraud-detection-handbook.github.io, on performance metrics).
Investigators look at cards and not at payments, at so many a day, and at none that is known as compromised already.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_DAY_US = 86_400_000_000


class Payments(NamedTuple):
    """Payments, one value per row.

    Attributes:
        at_us: When, int64 microseconds.
        card: Whose, int64.
        fraud: Whether it is fraud, 0 or 1.
    """

    at_us: NDArray[np.int64]
    card: NDArray[np.int64]
    fraud: NDArray[Any]


def card_precision(
    tested: Payments, scores: NDArray[np.float64], known: Payments, *, k: int = 100, delay_days: int = 7
) -> dict[str, float]:
    """Return the mean over whole test days of the share of the k highest cards that are compromised.

    A card's score on a day is its highest, and it is compromised that day if one of its payments is fraud. Left out is
    a card that is known as compromised by the morning: a fraud of it happened `delay_days` and more before, in the week
    before the gap or later; or an investigation of an earlier test day found it.

    Args:
        tested: The test rows.
        scores: Their scores, float64, (rows,).
        known: All payments and their labels, whenever those became known.
        k: Investigations a day.
        delay_days: How late labels are.

    Returns:
        card_precision, best_possible (what an oracle would have), days and cards_a_day.
    """
    day = tested.at_us // _DAY_US
    days = np.unique(day)[1:]  # the test begins in the middle of the first
    fraud_day, since = known.at_us // _DAY_US, days[0] - delay_days - 7
    found: set[int] = set()
    shares, possible, eligible = [], [], []
    for today in days.tolist():
        past = (known.fraud > 0) & (fraud_day >= since) & (fraud_day < today - delay_days)
        gone = found | set(known.card[past].tolist())
        best: dict[int, float] = {}
        bad: set[int] = set()
        for row in np.flatnonzero(day == today).tolist():
            card = int(tested.card[row])
            if card not in gone:
                best[card] = max(best.get(card, -1.0), float(scores[row]))
                if tested.fraud[row]:
                    bad.add(card)
        top = sorted(best, key=lambda card: (-best[card], card))[:k]
        hits = bad.intersection(top)
        found |= hits
        shares.append(len(hits) / k)
        possible.append(min(len(bad), k) / k)
        eligible.append(len(best))
    return {
        "card_precision": float(np.mean(shares)),
        "best_possible": float(np.mean(possible)),
        "days": float(len(days)),
        "cards_a_day": float(np.mean(eligible)),
    }
