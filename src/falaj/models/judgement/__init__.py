"""Judgement: one file for each kind of gate check, from what was measured to a result and its reason."""
