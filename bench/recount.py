"""The prediction log, counted again from its bytes: answered = logged."""

from collections import Counter
from pathlib import Path

import msgspec

from falaj.data.prediction_log import list_segments, read_part
from falaj.definitions.prediction_record import BlockRecord, FeedbackRecord, LogRecord

_decode = msgspec.msgpack.Decoder(LogRecord).decode


class Recount:
    """Counts the records that came since the last look, from the segments that gateway workers write.

    Args:
        folder: Where the segments are. Nothing may compact them meanwhile, so control must not run.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: dict[str, int] = {}

    def since(self) -> Counter[str]:
        """Return how many decisions came since the last call, by version; failed ones as `error CODE`."""
        found: Counter[str] = Counter()
        ids: set[str] = set()
        records = 0
        for segment in list_segments(self._folder):  # a growing one may be finished while it is read
            if not segment.startswith("gateway-"):
                continue
            payloads, self._seen[segment] = read_part(self._folder, segment, self._seen.get(segment, 0))
            for payload in payloads:
                record = _decode(payload)
                if isinstance(record, FeedbackRecord):
                    continue
                rows = record.rows if isinstance(record, BlockRecord) else 1
                found[f"error {record.error}" if record.error else f"version {record.version}"] += rows
                records += 1
                ids.add(record.request_id)
        if len(ids) != records:
            raise SystemExit(f"bench: {records} requests' decisions bear {len(ids)} request ids")
        return found
