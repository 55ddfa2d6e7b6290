"""The control process's HTTP interface: a file per noun, parse, one call, render."""
