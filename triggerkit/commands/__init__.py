"""What each command does: reads, checks, calls a layer below. Flags and their parsing are in `cli`."""
