"""Composes the rooms below: project, plan and apply, the training pipeline, promotion, triggers."""
