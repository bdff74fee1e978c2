"""The phases of a shard consumer, and the only steps between them."""

from __future__ import annotations

from enum import Enum


class Phase(Enum):
    """The life of a consumer. Waiting for a parent is no phase: such a shard holds no lease."""

    RUNNING = "running"
    DRAINING = "draining"
    FINISHED = "finished"
    STOPPED = "stopped"


class Step(Enum):
    """What moves a consumer from one phase to another."""

    STOP_ASKED = "stop asked"
    SHARD_END_SAVED = "shard end saved"
    RELEASED = "released"
    LEASE_LOST = "lease lost"


TRANSITIONS: dict[tuple[Phase, Step], Phase] = {
    (Phase.RUNNING, Step.STOP_ASKED): Phase.DRAINING,
    (Phase.RUNNING, Step.SHARD_END_SAVED): Phase.FINISHED,
    (Phase.RUNNING, Step.LEASE_LOST): Phase.STOPPED,
    (Phase.DRAINING, Step.STOP_ASKED): Phase.DRAINING,
    (Phase.DRAINING, Step.SHARD_END_SAVED): Phase.FINISHED,
    (Phase.DRAINING, Step.RELEASED): Phase.STOPPED,
    (Phase.DRAINING, Step.LEASE_LOST): Phase.STOPPED,
}
"""The whole machine; the picture in the documentation is made from it."""
