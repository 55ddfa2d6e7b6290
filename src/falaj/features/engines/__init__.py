"""Engines that compute stored features for training: `port` says what one is; each has a file of its name."""
