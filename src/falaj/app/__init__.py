"""The roots: backends are chosen here, and every operation that a command or a route calls is listed here."""
