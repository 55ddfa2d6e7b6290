"""Snapshots: routing and tokens as control publishes them; adopted while requests go on."""

import logging
from collections.abc import Callable

import msgspec

from falaj.definitions.routing_table import RoutingTable
from falaj.governance.tokens import TokenSnapshot
from falaj.kernel.codec import from_msgpack
from falaj.kernel.errors import FalajError
from falaj.serving.allowance import allowances
from falaj.serving.buckets import Buckets
from falaj.serving.guard import Guard
from falaj.serving.loading import LoadModel, load_serving
from falaj.serving.routing import HashRouter
from falaj.serving.stats import LoadError, WorkerStats
from falaj.serving.variant_router import RouterMaker
from falaj.serving.variants import LoadedVariant, Serving
from falaj.storage.keyvalue import KeyValueStore
from falaj.storage.keyvalue.snapshots import EPOCH_KEY, snapshot_key

ROUTING_KEY = snapshot_key("routing")
TOKENS_KEY = snapshot_key("tokens")

POLL_S = 0.1
_RETRY_POLLS = 50

_log = logging.getLogger("falaj.serving.snapshots")

Beside = Callable[[Callable[[], Serving], Callable[[Serving], None]], None]
"""Does work in another thread, then hands its result over in the loop's."""


class Snapshots:
    """What the worker serves and whom it lets in.

    Args:
        load_model: Loads one model.
        beside: Runs the loading where it delays no request.
        stats: Counts failures and keeps the routing epoch.
        switched: Called after a new routing table is in force.
        make_router: Makes what chooses among an endpoint's variants.
        buckets: What limits are taken from; without it there are none.
        shadows_beside: Runs the loading of shadows, which nothing else may wait for; the same as `beside` by default.

    Attributes:
        serving: What serves now. Requests keep the one they began with, so the old models go when those are done.
        guard: Who is let in now.
        ready: Whether both have been read, and every endpoint of a table loaded, once. It stays so: an endpoint that
            comes later and cannot be loaded anywhere must not take those that serve away with it.
    """

    def __init__(
        self, load_model: LoadModel, beside: Beside, stats: WorkerStats, switched: Callable[[], None] = lambda: None,
        make_router: RouterMaker[LoadedVariant] = HashRouter, buckets: Buckets | None = None,
        shadows_beside: Beside | None = None,
    ) -> None:  # fmt: skip
        self.serving = Serving()
        self.guard = Guard()
        self.ready = False
        self._load_model = load_model
        self._beside = beside
        self._shadows_beside = shadows_beside or beside
        self._stats = stats
        self._switched = switched
        self._make_router = make_router
        self._buckets = buckets
        self._epoch: bytes | None = None
        self._tokens: bytes | None = None
        self._bad_tokens = False
        self._unreadable = False
        self._routing: bytes | None = None
        self._wanted: bytes | None = None
        self._loading = False
        self._polls_to_retry = 0

    def poll(self, store: KeyValueStore) -> None:
        """Look whether something new was published, and begin to adopt it; never waits for a model."""
        try:
            if store.get_many([EPOCH_KEY])[0] != self._epoch:
                self._epoch, tokens, self._wanted = store.get_many([EPOCH_KEY, TOKENS_KEY, ROUTING_KEY])
                if self._adopt_tokens(tokens) and self._epoch is not None:
                    self._stats.tokens_epoch = from_msgpack(self._epoch, int)
        except FalajError as error:
            if not self._unreadable:  # once, not ten times a second as long as a server is down
                self._failed(f"the online store cannot be read: {error.message}")
            self._unreadable = True
            return
        self._unreadable = False
        if self._polls_to_retry:
            self._polls_to_retry -= 1
            if self._polls_to_retry == 0:
                self._routing = None
        if not self._loading:
            self._adopt_routing()

    def _adopt_tokens(self, raw: bytes | None) -> bool:
        """Adopt the tokens, and return whether they are those in force now."""
        # At once and without a thread: a revoked token must not wait for a model to load.
        if raw is None or raw == self._tokens:
            return raw is not None and not self._bad_tokens
        self._tokens = raw
        try:
            snapshot = from_msgpack(raw, TokenSnapshot)
            limited = {} if self._buckets is None else allowances(snapshot, self._buckets, self._refused)
            self.guard = Guard(snapshot, limited)
            self._bad_tokens = False
        except msgspec.DecodeError as error:
            self._bad_tokens = True
            self._failed(f"the token snapshot cannot be read: {error}")
        return not self._bad_tokens

    def _refused(self) -> None:
        self._stats.rate_limited += 1

    def _adopt_routing(self) -> None:
        raw = self._wanted
        if raw is None or raw == self._routing:
            return
        self._routing = raw
        try:
            table = from_msgpack(raw, RoutingTable)
        except msgspec.DecodeError as error:
            self._failed(f"the routing snapshot cannot be read: {error}")
            return
        self._loading = True
        before, load_model, make_router = self.serving, self._load_model, self._make_router
        self._beside(
            lambda: load_serving(table, before, load_model, make_router), lambda serving: self._adopt(table, serving)
        )

    def _adopt(self, table: RoutingTable, serving: Serving) -> None:
        self._loading = False
        self.serving = serving
        self._stats.routing_epoch = serving.epoch
        absent = serving.absent()
        self.ready = self.ready or not absent
        for endpoint, reason in serving.failures.items():
            kept = "cannot be loaded" if endpoint in absent else "keeps its old route"
            self._failed(f"endpoint {endpoint!r} {kept}: {reason}")
        self._stats.load_errors = [
            LoadError(name, reason, name not in absent) for name, reason in serving.failures.items()
        ]
        self._polls_to_retry = _RETRY_POLLS if serving.failures else 0
        self._switched()
        if serving.awaited:
            self._load_shadows(table)

    def _load_shadows(self, table: RoutingTable) -> None:
        """Load the shadows that are awaited; a table that is published meanwhile does not wait for them."""
        before, load_model, make_router = self.serving, self._load_model, self._make_router

        def adopt(serving: Serving) -> None:
            if self.serving is not before or self._loading:  # what came since has its own shadows to load
                return
            self.serving = serving
            for endpoint, reason in serving.left_out.items():
                self._failed(f"endpoint {endpoint!r} serves without its shadow until its route changes: {reason}")
            self._switched()

        self._shadows_beside(lambda: load_serving(table, before, load_model, make_router, load_shadows=True), adopt)

    def _failed(self, sentence: str) -> None:
        self._stats.load_failures += 1
        _log.error("%s", sentence)
