"""Training, evaluation, gates, the registry, artifacts and runtimes of models."""
