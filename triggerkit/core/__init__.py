"""The pure core: reports in, decisions out. Rule: no IO, clock, randomness, logging or threads below this line."""
