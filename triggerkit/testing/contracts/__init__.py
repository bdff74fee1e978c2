"""The promises of the ports as test suites: an adapter is tested by one subclass and one fixture.

A suite uses an adapter only through its port. In a test module, for a lease store:

    class TestMyStore(LeaseStoreContract):
        @pytest.fixture
        def rig(self) -> LeaseStoreRig: ...

`SourceContract` and `LineageContract` need a fixture `world` that is a `StreamWorld` or a `RollingWorld`,
`DestinationContract` one that is a `DestinationWorld`.
"""

from __future__ import annotations

from triggerkit.testing.contracts.destinations import DestinationContract, DestinationWorld
from triggerkit.testing.contracts.lease_ends import LeaseEndContract
from triggerkit.testing.contracts.lease_rig import LeaseStoreRig
from triggerkit.testing.contracts.leases import LeaseContract
from triggerkit.testing.contracts.lost_answers import LostAnswerContract
from triggerkit.testing.contracts.sessions import SessionContract
from triggerkit.testing.contracts.sources import (
    LineageContract,
    RollingWorld,
    SourceContract,
    StreamWorld,
)

__all__ = [
    "DestinationContract",
    "DestinationWorld",
    "LeaseStoreContract",
    "LeaseStoreRig",
    "LineageContract",
    "RollingWorld",
    "SourceContract",
    "StreamWorld",
]


class LeaseStoreContract(LeaseContract, LostAnswerContract, LeaseEndContract, SessionContract):
    """Everything that a lease store promises."""
