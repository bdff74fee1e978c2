"""Invokers: ways to call a handler. Rule: an adapter imports no other adapter and not the runtime."""
