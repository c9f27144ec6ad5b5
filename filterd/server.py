"""One worker: starts its edges, drains, stops."""
