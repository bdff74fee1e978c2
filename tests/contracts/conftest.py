"""Contract suites are modules, not tests: their asserts are rewritten all the same."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite(
    "contracts.lease_store_contract",
    "contracts.lost_answer_contract",
    "contracts.lease_end_contract",
    "contracts.session_contract",
)
