"""Recorded streams in files: how they are written, read and redacted."""
