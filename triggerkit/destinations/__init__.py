"""Destinations: where failure records go. Rule: an adapter imports no other adapter and not the runtime."""
