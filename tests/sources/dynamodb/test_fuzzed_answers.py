"""800 of the cases of `fuzz_answers`; its command runs 20,000 and prints how they ended."""

from __future__ import annotations

import pytest
from sources.fuzz_answers import fuzz

SEED = 8
CASES = 100


@pytest.mark.parametrize("part", range(8))
def test_e5_spoilt_answers_end_in_errors_of_ours_and_lose_nothing(part: int) -> None:
    score = fuzz(SEED, range(part * CASES, (part + 1) * CASES))
    assert score.failures == [], f"seed {SEED}"
    assert score.endings.total() == CASES
    assert score.spoilt.total() > CASES
