"""The command line. Rule: a command imports what it needs when it runs, so that `--help` is fast."""
