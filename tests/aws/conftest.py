"""Every test of AWS access is cut off from this machine's AWS configuration."""

from __future__ import annotations

import pytest
from sources.fakes import isolated_from_aws


@pytest.fixture(autouse=True)
def _no_aws_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    isolated_from_aws(monkeypatch)
