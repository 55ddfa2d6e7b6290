"""Card transactions of an invented town, with three kinds of fraud in them. The same seed gives the same rows.

    python generate.py --days 98 --customers 1000 --terminals 500 --seed 7 --shift 5 --out town.parquet

Customers live somewhere, pay at the terminals near them, with the amounts and at the pace that are their own.
Fraud comes in three patterns (column `fraud_pattern`, which is for counting and is never a feature):

    1 large amounts          a stolen card is used once, for far more than its owner ever pays
    2 compromised terminals  for four weeks most payments at a terminal are fraud, half of them tiny tests of a card
    3 compromised customers  for two weeks half of a customer's payments are a thief's, a few times as large

The last `--shift` days are another world: amounts grow, people buy in other places and at a kind of merchant that
did not exist before, and more of it at night. That is what a drift monitor should notice.
"""

import argparse
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

START = datetime(2025, 1, 1, tzinfo=UTC)
HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US

# name, share of terminals, how amounts there compare with the customer's usual one, share of payments by browser
CATEGORIES = [
    ("grocery", 0.34, 0.8, 0.05),
    ("restaurant", 0.22, 0.7, 0.10),
    ("fuel", 0.14, 1.1, 0.01),
    ("clothing", 0.14, 1.4, 0.35),
    ("electronics", 0.09, 2.2, 0.55),
    ("travel", 0.07, 3.0, 0.70),
]
NEW_CATEGORY = ("gaming", 0.06, 1.2, 0.95)  # opens with the shift; its terminals come on top of `--terminals`

LARGE_AMOUNT_SHARE = 0.002  # of all payments
TERMINAL_COMPROMISES_PER_DAY = 0.0003  # per terminal
TERMINAL_COMPROMISE_DAYS = 28
TERMINAL_FRAUD_SHARE = 0.7  # of the payments at a compromised terminal
CUSTOMER_COMPROMISES_PER_DAY = 0.0006  # per customer
CUSTOMER_COMPROMISE_DAYS = 14
CUSTOMER_FRAUD_SHARE = 0.5  # of the payments of a compromised customer
TERMINALS_NEAR = 12  # how many terminals a customer usually goes to


def generate(*, days: int, customers: int, terminals: int, seed: int, shift_days: int = 0) -> pa.Table:
    """Return the town's payments in order of time.

    Args:
        days: How many days, the shifted ones included.
        customers: How many people; each pays about once a day.
        terminals: How many terminals there are before the shift.
        seed: Any whole number; everything random follows from it.
        shift_days: How many of the last days are shifted.
    """
    random = np.random.default_rng(seed)
    town = make_town(random, customers, terminals)

    payments_per_day = random.uniform(0.3, 1.7, customers)
    customer = np.repeat(np.arange(customers), random.poisson(payments_per_day * days))
    day = random.integers(0, days, len(customer))
    shifted = day >= days - shift_days

    terminal = choose_terminals(random, town, customer, shifted)
    category = town["category"][terminal]
    event_us = day * DAY_US + time_of_day_us(random, shifted)
    usual_amount = np.exp(random.normal(3.5, 0.45, customers))[customer] * town["amount_factor"][category]
    amount = usual_amount * np.exp(random.normal(0.0, 0.5, len(customer))) * np.where(shifted, 1.8, 1.0)
    browser = random.random(len(customer)) < town["browser_share"][category]

    pattern = draw_fraud(random, days, customers, terminals + len(town["new_terminals"]), customer, terminal, day)
    amount = np.where(pattern == 1, usual_amount * random.uniform(6, 14, len(amount)) + 100, amount)
    tested = (pattern == 2) & (random.random(len(amount)) < 0.5)
    amount = np.where(tested, random.uniform(0.5, 4.0, len(amount)), amount)
    amount = np.where(pattern == 3, amount * random.uniform(2, 6, len(amount)), amount)
    thief = ((pattern == 1) | (pattern == 3)) & (random.random(len(amount)) < 0.7)
    browser |= thief

    order = np.argsort(event_us, kind="stable")
    return as_table(order, event_us, customer, terminal, category, amount, browser, thief, pattern)


def make_town(random: np.random.Generator, customers: int, terminals: int) -> dict[str, np.ndarray]:
    """Place customers and terminals on a map and give each terminal its kind of merchant."""
    _, shares, amount_factor, browser_share = zip(*CATEGORIES, NEW_CATEGORY, strict=True)
    new = np.arange(terminals, terminals + max(1, int(terminals * NEW_CATEGORY[1])))
    known_shares = np.array(shares[:-1]) / sum(shares[:-1])
    category = random.choice(len(CATEGORIES), terminals, p=known_shares)
    homes, places = random.random((customers, 2)), random.random((terminals, 2))
    near = np.empty((customers, min(TERMINALS_NEAR, terminals)), dtype=np.int64)
    for first in range(0, customers, 500):  # in chunks, so that memory stays small for large towns
        chunk = homes[first : first + 500]
        distance = ((chunk[:, None, :] - places[None, :, :]) ** 2).sum(axis=2)
        near[first : first + 500] = np.argsort(distance, axis=1, kind="stable")[:, : near.shape[1]]
    return {
        "category": np.concatenate([category, np.full(len(new), len(CATEGORIES))]),
        "near": near,
        "new_terminals": new,
        "elsewhere": np.concatenate([np.flatnonzero(category >= len(CATEGORIES) - 2), new]),
        "amount_factor": np.array(amount_factor),
        "browser_share": np.array(browser_share),
    }


def choose_terminals(
    random: np.random.Generator, town: dict[str, np.ndarray], customer: np.ndarray, shifted: np.ndarray
) -> np.ndarray:
    """People pay near home; in the shifted days four of ten payments go to electronics, travel and gaming."""
    near = town["near"]
    usual = near[customer, random.integers(0, near.shape[1], len(customer))]
    elsewhere = random.choice(town["elsewhere"], len(customer))
    return np.where(shifted & (random.random(len(customer)) < 0.4), elsewhere, usual)


def time_of_day_us(random: np.random.Generator, shifted: np.ndarray) -> np.ndarray:
    """Most people pay in the early afternoon; in the shifted days three of ten payments move to the night."""
    by_day, by_night = random.normal(13.5, 4.0, len(shifted)), random.normal(1.5, 1.5, len(shifted))
    hours = np.where(shifted & (random.random(len(shifted)) < 0.3), by_night, by_day) % 24
    return (hours * HOUR_US).astype(np.int64) % DAY_US


def compromised(random: np.random.Generator, count: int, days: int, per_day: float, lasts: int) -> np.ndarray:
    """Return a table [things, days] that says which thing is compromised on which day."""
    starts = random.random((count, days + lasts)) < per_day  # some began before the first day
    so_far = np.cumsum(starts, axis=1)
    before = np.pad(so_far, ((0, 0), (lasts, 0)))[:, : days + lasts]
    return (so_far - before > 0)[:, lasts:]


def draw_fraud(
    random: np.random.Generator,
    days: int,
    customers: int,
    terminals: int,
    customer: np.ndarray,
    terminal: np.ndarray,
    day: np.ndarray,
) -> np.ndarray:
    """Return each payment's pattern: 0 for an honest one, or 1, 2, 3."""
    chance = random.random((3, len(customer)))
    bad_terminals = compromised(random, terminals, days, TERMINAL_COMPROMISES_PER_DAY, TERMINAL_COMPROMISE_DAYS)
    bad_customers = compromised(random, customers, days, CUSTOMER_COMPROMISES_PER_DAY, CUSTOMER_COMPROMISE_DAYS)
    pattern = np.where(chance[0] < LARGE_AMOUNT_SHARE, 1, 0)
    pattern = np.where(bad_terminals[terminal, day] & (chance[1] < TERMINAL_FRAUD_SHARE), 2, pattern)
    return np.where(bad_customers[customer, day] & (chance[2] < CUSTOMER_FRAUD_SHARE), 3, pattern)


def as_table(
    order: np.ndarray,
    event_us: np.ndarray,
    customer: np.ndarray,
    terminal: np.ndarray,
    category: np.ndarray,
    amount: np.ndarray,
    browser: np.ndarray,
    thief: np.ndarray,
    pattern: np.ndarray,
) -> pa.Table:
    """Give the columns their names and types."""
    start_us = int(START.timestamp()) * 1_000_000
    customer, event_us = customer[order], event_us[order]
    names = np.array([name for name, *_ in [*CATEGORIES, NEW_CATEGORY]])
    own_device = np.char.add("d", np.char.zfill(customer.astype(str), 6))
    thief_device = np.char.add("x", np.char.zfill((customer % 50).astype(str), 6))
    columns = {
        "transaction_id": np.char.add("t", np.char.zfill(np.arange(len(order)).astype(str), 8)),
        "event_time": pa.array(start_us + event_us, pa.timestamp("us", tz="UTC")),
        "customer_id": np.char.add("c", np.char.zfill(customer.astype(str), 6)),
        "terminal_id": np.char.add("m", np.char.zfill(terminal[order].astype(str), 6)),
        "merchant_category": names[category[order]],
        "device_id": np.where(thief[order], thief_device, own_device),
        "device_kind": np.where(browser[order], "browser", "card"),
        "hour": event_us % DAY_US // HOUR_US,
        "amount": np.round(amount[order], 2),
        "is_fraud": (pattern[order] > 0).astype(np.int64),
        "fraud_pattern": pattern[order].astype(np.int64),
    }
    return pa.table(columns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=98)
    parser.add_argument("--customers", type=int, default=1000)
    parser.add_argument("--terminals", type=int, default=500)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--shift", type=int, default=5, metavar="DAYS", help="how many of the last days are shifted")
    parser.add_argument("--out", default="town.parquet")
    asked = parser.parse_args()
    table = generate(
        days=asked.days,
        customers=asked.customers,
        terminals=asked.terminals,
        seed=asked.seed,
        shift_days=asked.shift,
    )
    pq.write_table(table, asked.out)
    print(f"{asked.out}: {table.num_rows:,} transactions")


if __name__ == "__main__":
    main()
