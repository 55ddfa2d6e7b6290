"""The operations, a file per noun: each takes the rooms, the actor and its parameters, and returns a plain value."""
