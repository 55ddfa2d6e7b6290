"""EndpointOptions: how an endpoint's requests are treated, as its route carries it to the gateways."""

import msgspec

from falaj.definitions.cache import Cache


class EndpointOptions(msgspec.Struct, frozen=True):
    """What an endpoint asks for besides its variants.

    Attributes:
        deadline_ms: What still waits after it is not computed and answers 504; None for no bound. A caller's own
            deadline comes first.
        max_rows: Most rows of one request; None for the gateway's bound.
        cache: Answers that are given again; None for none.
        features_max_age_ms: How old a feature may be that a gateway gives again without asking Redis; None for what
            the settings say.
    """

    deadline_ms: float | None = None
    max_rows: int | None = None
    cache: Cache | None = None
    features_max_age_ms: float | None = None
