"""Invokers: ways to call a handler."""
