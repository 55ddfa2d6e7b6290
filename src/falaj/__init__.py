"""Falaj: one definition of every feature, carried without leaks from raw events to a decision."""
