"""The floor of the house: names, time, errors, digests, codecs and settings. Standard library and msgspec only."""
