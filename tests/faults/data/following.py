"""Takes followed files for ever and prints how many lines have come; the test kills it. Argument: the project."""

import sys
from pathlib import Path

from support.data_room import EVENT_SCHEMA, DataRoom, followed_source

if __name__ == "__main__":
    project = Path(sys.argv[1])
    room = DataRoom.embedded(project / ".falaj", project)
    print("ready", flush=True)  # noqa: T201
    while True:
        if room.feeds.take(followed_source(), EVENT_SCHEMA, limit=7, timeout_s=0.1).count:
            print("took", flush=True)  # noqa: T201
            room.events.truncate("tx", room.events.land("tx", EVENT_SCHEMA))
