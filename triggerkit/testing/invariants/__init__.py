"""The parts of the checker. Rule: one part a subject, each with the facts of that subject alone."""
