"""Adoption: does every gateway worker go by what was published last?"""

import threading

from falaj.lifecycle.counts import gateway_stats
from falaj.lifecycle.rooms import Rooms
from falaj.rollout.table import TOPIC
from falaj.storage.metadata.outbox import last_announced

WAIT_S = 2.0
_LOOK_EVERY_S = 0.02


def wait_adopted(rooms: Rooms, topic: str = TOPIC, timeout_s: float = WAIT_S) -> bool:
    """Wait until every live gateway worker says that it goes by what was published last.

    Args:
        rooms: The project.
        topic: "routing" or "tokens".
        timeout_s: How long to wait at the most.

    Returns:
        Whether they do; False where no worker lives.
    """
    with rooms.db.read() as connection:
        wanted = last_announced(connection, topic)
    deadline, pause = rooms.clock.monotonic() + timeout_s, threading.Event()
    while True:
        stats = gateway_stats(rooms)
        if not stats.live:
            return False
        if (stats.total.routing_epoch if topic == TOPIC else stats.total.tokens_epoch) >= wanted:
            return True
        if rooms.clock.monotonic() >= deadline:
            return False
        pause.wait(_LOOK_EVERY_S)
