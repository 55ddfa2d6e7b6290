"""Features that mean the same offline and online: compile, materialise, read, verify."""
