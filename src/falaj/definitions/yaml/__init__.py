"""Definitions in YAML: the same ones as in Python, under the same names."""
