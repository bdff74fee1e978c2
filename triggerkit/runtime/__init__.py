"""The runtime performs what the core decides, and logs what happened."""
