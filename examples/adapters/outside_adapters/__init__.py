"""A source, a lease store and a destination for triggerkit, in a package of their own."""
