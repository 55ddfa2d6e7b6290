"""Pushes events for ever and prints each acknowledged number; the test kills it. Argument: the project's folder."""

import itertools
import sys
from pathlib import Path

from support.data_room import EVENT_SCHEMA, DataRoom, event, pushed_source

if __name__ == "__main__":
    project = Path(sys.argv[1])
    room = DataRoom.embedded(project / ".falaj", project)
    for number in itertools.count():
        accepted = room.events.accept(pushed_source(), EVENT_SCHEMA, [event(f"e{number}", number)])
        print(number, accepted.last_seq, flush=True)  # noqa: T201
        if number % 5 == 4:
            room.events.truncate("tx", room.events.land("tx", EVENT_SCHEMA))
