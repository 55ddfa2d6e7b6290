"""Python models: users' own classes, each in a process of its own, whose program is `host`."""
