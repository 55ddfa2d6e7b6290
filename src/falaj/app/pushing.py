"""Pushing: a stream of events in bounded pieces, each sent again for a while where the project cannot take it yet."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

import msgspec

from falaj.app.client import Client
from falaj.app.values.source import Push, Pushed
from falaj.kernel.errors import Overloaded

PIECE_EVENTS = 1_000
"""Events of one request: enough that the flush of the log is shared, few enough that an answer comes soon."""

MOST_REJECTED = 10_000
"""So many of the refused events are named in the sum of all pieces; all of them stand in quarantine."""

_PIECE_CHARACTERS = 4 << 20
_PAUSE_S = 0.5


def push_stream(
    client: Client,
    source: str,
    events: Iterable[Any],
    *,
    wait: Literal["logged", "applied"] = "logged",
    patience_s: float = 60.0,
    on_piece: Callable[[Pushed], None] = lambda _: None,
    on_wait: Callable[[Overloaded], None] = lambda _: None,
) -> Pushed:
    """Push events, however many, and return what became of all of them.

    Only one piece is in memory. A piece that is refused because too many events wait was not kept, so that it may be
    sent again.

    Args:
        client: Who pushes, and where.
        source: To which source.
        events: Objects of its columns, or their text as JSON.
        wait: Go on when a piece is "logged", or "applied".
        patience_s: How long to send the same piece again.
        on_piece: Called after each piece; the places in its `rejected` count from the first event of all.
        on_wait: Called before each pause.

    Raises:
        Overloaded: The patience is at its end; the pieces before this one are kept.
        FalajError: Whatever else refuses a piece.
    """
    total = Pushed(source, 0, 0, [], {}, applied=wait == "applied")
    sent = 0
    for piece in _pieces(events):
        done = _push_piece(client, Push(source, piece, wait), patience_s, on_wait)
        rejected = [(sent + place, reasons) for place, reasons in done.rejected]
        done = msgspec.structs.replace(done, rejected=rejected)
        on_piece(done)
        sent += len(piece)
        warnings = {k: total.warnings.get(k, 0) + done.warnings.get(k, 0) for k in (*total.warnings, *done.warnings)}
        applied = total.applied and (done.applied or not done.accepted)
        accepted, last_seq = total.accepted + done.accepted, done.last_seq or total.last_seq
        kept = (total.rejected + rejected)[:MOST_REJECTED]
        total = Pushed(source, accepted, last_seq, kept, warnings, applied, done.behind)
    return total


def _push_piece(client: Client, params: Push, patience_s: float, on_wait: Callable[[Overloaded], None]) -> Pushed:
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return client.perform("source.push", params, Pushed)
        except Overloaded as error:
            if time.monotonic() + _PAUSE_S > deadline:
                raise
            on_wait(error)
            time.sleep(_PAUSE_S)


def _pieces(events: Iterable[Any]) -> Iterator[list[Any]]:
    """Give the events in pieces, at least one: the name of the source is looked at even where there are none."""
    piece: list[Any] = []
    size, given = 0, False
    for event in events:
        piece.append(event)
        size += len(event) if isinstance(event, str) else 0
        if len(piece) == PIECE_EVENTS or size >= _PIECE_CHARACTERS:
            yield piece
            piece, size, given = [], 0, True
    if piece or not given:
        yield piece
