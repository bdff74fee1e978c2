"""`python -m triggerkit`: the same as the `triggerkit` command."""

from triggerkit.cli.main import main

main()
