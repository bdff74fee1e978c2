"""The runtime: performs what the core decides. Rule: no policy lives here."""
