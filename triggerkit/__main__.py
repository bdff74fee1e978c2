"""`python -m triggerkit`. Rule: the same as the `triggerkit` command."""

from triggerkit.cli.main import main

main()
