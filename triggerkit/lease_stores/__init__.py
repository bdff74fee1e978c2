"""Lease stores: one adapter a kind of state. Rule: an adapter imports no other adapter and not the runtime."""
