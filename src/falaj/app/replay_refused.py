"""ReplayRefused: a source's refused rows judged again, piece by piece, so that progress shows."""

from collections import Counter
from collections.abc import Callable

import msgspec

from falaj.app.client import Client
from falaj.app.values.source import Replay
from falaj.data.quarantine import Replayed

_PIECE_S = 2.0


def replay_refused(
    client: Client,
    source: str,
    *,
    reason: str = "",
    dry_run: bool = False,
    on_piece: Callable[[Replayed], None] = lambda _so_far: None,
) -> Replayed:
    """Judge a source's refused rows again by the present definition; what stops it, the next call goes on.

    Args:
        client: Who asks, and where.
        source: The source.
        reason: Only rows one of whose reasons has this text in it.
        dry_run: Change nothing.
        on_piece: Called with the sum of all pieces after each.

    Returns:
        The sum of all pieces. Rows that are refused while it goes on are not among them.
    """
    total: Replayed | None = None
    while total is None or total.left:
        after, until = (0, 0) if total is None else (total.through, total.until)
        piece = client.perform("source.replay", Replay(source, reason, dry_run, after, until, _PIECE_S), Replayed)
        total = piece if total is None else _sum(total, piece)
        on_piece(total)
    return total


def _sum(one: Replayed, two: Replayed) -> Replayed:
    reasons = Counter(one.reasons)
    reasons.update(two.reasons)
    return msgspec.structs.replace(
        two,
        looked_at=one.looked_at + two.looked_at,
        accepted=one.accepted + two.accepted,
        refused=one.refused + two.refused,
        reasons=dict(reasons.most_common(20)),
    )
