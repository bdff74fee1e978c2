"""Sources: one adapter a stream service. Rule: an adapter imports no other adapter and not the runtime."""
