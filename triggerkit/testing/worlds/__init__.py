"""The parts of `triggerkit.testing.harness`. Rule: the workers are real, all around them comes from a seed."""
