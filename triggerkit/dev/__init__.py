"""What exists only on a developer's machine: the endpoint, its tables, reloading, the demo."""
