"""Sources: one adapter for each stream service. An adapter imports no other adapter and not the runtime."""
