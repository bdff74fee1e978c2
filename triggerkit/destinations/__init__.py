"""Destinations: where failure records go. An adapter imports no other adapter and not the runtime."""
