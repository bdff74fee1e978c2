"""Lease stores: one adapter for each kind of state."""
