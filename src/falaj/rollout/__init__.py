"""The only writer of the routing table: canaries, verdict rules and rollback."""
