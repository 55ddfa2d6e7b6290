"""Tuning: finding a trainer's parameters, or the trainer itself, by trying on training rows."""
