"""Database triggers as plain Python functions."""
