"""The data plane: protocols, routing, batching, the prediction log."""
