"""Signals that a gateway worker takes beside those that end it."""

import signal

SHED = signal.SIGUSR2
"""Let clients connect anew, because others have come that could serve them."""
