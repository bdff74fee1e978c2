"""The command line: one file a command. It imports what it needs when it runs, so that `--help` is fast."""
