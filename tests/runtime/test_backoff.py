"""How long a failed call waits before it is made again."""

from __future__ import annotations

from triggerkit.runtime.backoff import LONGEST_WAIT_SECONDS, Backoff

ONE, OTHER = ("shard-1", "Fetch"), ("shard-2", "Fetch")


def test_waits_double_up_to_ten_seconds_for_each_call_by_itself() -> None:
    backoff = Backoff()
    found = [backoff.failed(*ONE) for _ in range(8)]
    assert found == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, LONGEST_WAIT_SECONDS, LONGEST_WAIT_SECONDS]
    assert backoff.failed(*OTHER) == 0.25


def test_a_success_sets_the_next_wait_back() -> None:
    backoff = Backoff()
    assert [backoff.failed(*ONE) for _ in range(3)] == [0.25, 0.5, 1.0]
    backoff.succeeded(*ONE)
    assert backoff.failed(*ONE) == 0.25


def test_a_shard_that_is_given_up_leaves_nothing_behind() -> None:
    backoff = Backoff()
    backoff.failed(*ONE)
    backoff.failed(*OTHER)
    backoff.forget("shard-1")
    assert (backoff.failed(*ONE), backoff.failed(*OTHER)) == (0.25, 0.5)
