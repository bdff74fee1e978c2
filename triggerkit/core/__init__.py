"""The pure core: reports in, decisions out. No IO, clock, randomness, logging or threads here."""
