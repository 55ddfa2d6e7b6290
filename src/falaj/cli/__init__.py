"""The command line: a file per noun, parse, one call, render."""
