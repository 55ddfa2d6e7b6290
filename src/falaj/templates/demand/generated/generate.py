"""The hours of an invented hire of bicycles. The same seed gives the same rows.

Demand has a shape by the hour, another on working days, follows the warmth of the season and of the day, shrinks with wind
and rain, and grows from month to month.
"""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

START = datetime(2024, 1, 1, tzinfo=UTC)
COMMUTE = np.array([8, 4, 3, 2, 2, 8, 30, 80, 130, 70, 40, 45, 60, 58, 50, 60, 100, 170, 150, 100, 70, 50, 35, 18])
LEISURE = np.array([20, 14, 10, 6, 4, 4, 6, 12, 25, 45, 75, 95, 110, 112, 110, 108, 100, 90, 75, 60, 45, 36, 30, 24])


def generate(*, days: int, seed: int) -> pa.Table:
    """Return the hours in order of time.

    Args:
        days: How many days.
        seed: Any whole number; everything random follows from it.
    """
    random = np.random.default_rng(seed)
    number = np.arange(24 * days)
    day, hour = number // 24, number % 24
    weekday = (START.weekday() + day) % 7
    working = (weekday < 5).astype(np.int64)
    season = -np.cos(2 * np.pi * day / 365.25)
    temperature = 14 + 11 * season + 4 * np.sin(2 * np.pi * (hour - 9) / 24) + random.normal(0, 3, days)[day]
    humidity = np.clip(65 - 10 * season + random.normal(0, 15, days)[day] + random.normal(0, 4, len(day)), 10, 100)
    wind = random.gamma(2.0, 5.0, days)[day] + random.gamma(1.0, 1.5, len(day))
    comfort = np.exp(-(((temperature - 23) / 14) ** 2)) * np.exp(-wind / 60) * np.where(humidity > 88, 0.45, 1.0)
    mood = random.lognormal(0, 0.12, days)[day]
    growth = 1 + 0.4 * day / 365.25
    expected = np.where(working == 1, COMMUTE[hour], LEISURE[hour]) * (0.3 + 1.6 * comfort) * mood * growth
    return pa.table(
        {
            "hour_id": [f"h{one}" for one in number],
            "place_id": ["town"] * len(number),
            "at": pa.array([START + timedelta(hours=int(one)) for one in number], pa.timestamp("us", "UTC")),
            "hour": hour,
            "weekday": weekday,
            "workingday": working,
            "temperature": np.round(temperature, 1),
            "humidity": np.round(humidity, 1),
            "wind": np.round(wind, 1),
            "demand": random.poisson(expected),
        }
    )
