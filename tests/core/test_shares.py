"""Even shares: who is to take which free shard, and when."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from triggerkit.core.model import NEVER, SessionId, ShardId
from triggerkit.core.shares import EvenShares, Offer, Offers

FLEET = tuple(SessionId(f"worker-{number}") for number in range(4))
A, B = ShardId("a"), ShardId("b")


def ids(count: int) -> list[ShardId]:
    return [ShardId(f"s{number:02}") for number in range(count)]


@pytest.mark.parametrize("workers", range(1, 5))
@pytest.mark.parametrize("count", [0, 1, 3, 7, 12, 13])
def test_g3_all_free_shards_are_assigned_and_evenly(workers: int, count: int) -> None:
    live = FLEET[:workers]
    heirs = EvenShares("m", count, live, {}).assign(ids(count))
    assert heirs.keys() == set(ids(count))
    found = Counter(heirs.values())
    shares = [found[session] for session in live]
    assert sum(shares) == count
    assert max(shares) - min(shares) <= 1


@pytest.mark.parametrize("seed", range(100))
def test_g3_what_was_taken_in_between_changes_no_assignment(seed: int) -> None:
    """Two workers look at different moments; what one leaves to the other is what the other takes."""
    rng = Random(seed)
    shards, live = ids(rng.randint(1, 40)), FLEET[: rng.randint(1, 4)]
    heirs = EvenShares("m", len(shards), live, {}).assign(shards)
    taken = rng.sample(shards, rng.randint(0, len(shards)))
    holds = Counter(heir for shard in taken if (heir := heirs[shard]) is not None)
    free = [shard for shard in shards if shard not in taken]
    later = EvenShares("m", len(shards), live, holds).assign(free)
    assert later == {shard: heirs[shard] for shard in free}, f"seed {seed}"


def test_g3_a_free_shard_goes_to_a_worker_below_its_share_whatever_the_hash_says() -> None:
    first, second = FLEET[:2]
    for shard in ids(20):
        assert EvenShares("m", 10, (first, second), {first: 5, second: 4}).assign([shard]) == {
            shard: second
        }


@pytest.mark.parametrize(
    ("shards", "others", "most"),
    [
        (10, [5], 5),
        (9, [4], 5),
        (9, [5], 4),
        (9, [9], 4),
        (10, [2, 3], 4),
        (10, [4, 3], 3),
        (11, [4, 3], 4),
        (11, [4, 4], 3),
        (0, [0], 0),
    ],
)
def test_g3_a_worker_holds_one_more_only_while_one_is_left_over(
    shards: int, others: list[int], most: int
) -> None:
    me, *rest = FLEET[: len(others) + 1]
    shares = EvenShares("m", shards, (me, *rest), dict(zip(rest, others, strict=True)))
    assert shares.most(me) == most


def test_g3_a_worker_that_drains_has_no_share() -> None:
    shares = EvenShares("m", 4, FLEET[:2], {})
    assert shares.most(FLEET[3]) == 0
    assert FLEET[3] not in shares.assign(ids(4)).values()
    assert EvenShares("m", 4, (), {}).assign([A]) == {A: None}


def test_g3_who_holds_one_more_differs_between_mappings() -> None:
    names = [f"app:mapping-{number}:" for number in range(60)]
    heirs = Counter(EvenShares(name, 1, FLEET, {}).assign([A])[A] for name in names)
    assert set(heirs) == set(FLEET)


def test_an_offer_is_due_at_once_for_its_heir_later_for_others_and_last_above_the_share() -> None:
    offers = Offers(1.5)
    offers.put(A, Offer(0, 10.0, is_ours=True, names_us=False))
    offers.put(B, Offer(0, 10.0, is_ours=False, names_us=False))
    assert offers.next_at_seconds(within_share=True) == 10.0
    assert offers.next_at_seconds(within_share=False) == 14.5
    assert offers.pop(within_share=True) == A
    assert offers.next_at_seconds(within_share=True) == 11.5
    assert offers.next_at_seconds(within_share=False) == 14.5
    assert offers.pop(within_share=False) == B
    assert len(offers) == 0
    assert offers.next_at_seconds(within_share=True) == NEVER


def test_a_row_that_names_this_worker_is_due_last() -> None:
    offers = Offers(1.5)
    offers.put(A, Offer(3, 0.0, is_ours=True, names_us=True))
    assert offers.next_at_seconds(within_share=True) == 4.5


def test_an_offer_keeps_its_time_as_long_as_its_counter() -> None:
    offers = Offers(1.5)
    offers.put(A, Offer(3, 5.0, is_ours=False, names_us=False))
    assert offers.since(A, 3, 9.0) == 5.0
    assert offers.since(A, 4, 9.0) == 9.0
    offers.replace({B: Offer(0, 9.0, is_ours=True, names_us=False)})
    assert offers.since(A, 3, 9.5) == 9.5
    offers.drop(B)
    assert offers.next_at_seconds(within_share=False) == NEVER
