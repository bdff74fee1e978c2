"""Rows that are changed one by one say the same of what is ready as all rows looked at anew."""

from __future__ import annotations

from core.builders import TRIM_SECONDS, finished, lease, listing, ready_leases
from core.test_lineage import acyclic_shapes
from hypothesis import given, settings
from hypothesis import strategies as st

from triggerkit.core.lineage import ShardGraph
from triggerkit.core.model import Lease, ShardId
from triggerkit.core.rows import LeaseRows


def opened(*leases: Lease, shape: dict[str, str] | None = None) -> LeaseRows:
    rows = LeaseRows()
    graph = None if shape is None else ShardGraph(listing(shape).shards)
    rows.replace(leases, graph, TRIM_SECONDS)
    return rows


def test_the_end_of_the_last_parent_makes_a_shard_ready_once() -> None:
    rows = opened(lease("p"), lease("q"), lease("m", parents="p q"))
    assert rows.ready == {"p", "q"}
    assert rows.put(finished("q")) == []
    assert rows.put(finished("p")) == ["m"]
    assert rows.ready == {"m"}
    assert rows.put(finished("p")) == []


def test_a_shard_whose_parent_has_no_row_is_stuck_until_it_is_known_to_have_begun() -> None:
    rows = opened(lease("b", parents="a"), shape={"a": "", "b": "a"})
    assert (rows.ready, rows.stuck) == (set(), {"b"})
    rows.put(lease("b", parents="a", owner="me", counter=1))
    assert rows.stuck == {"b"}
    rows.put(finished("b"))
    assert (rows.ready, rows.stuck) == (set(), set())


def test_a_row_that_comes_later_is_sorted_in() -> None:
    rows = opened(lease("p"))
    rows.put(lease("c", parents="p"))
    assert rows.ready == {"p"}
    assert rows.put(finished("p")) == ["c"]
    rows.drop(ShardId("p"))
    assert ShardId("p") not in rows
    assert rows.get(ShardId("p")) is None


@settings(derandomize=True, deadline=None, max_examples=200)
@given(data=st.data(), shape=acyclic_shapes())
def test_ready_is_what_a_look_at_all_rows_finds(data: st.DataObject, shape: dict[str, str]) -> None:
    graph = ShardGraph(listing(shape).shards)
    every = {name: lease(name, parents=parents) for name, parents in shape.items()}
    rows = opened(*every.values(), shape=shape)
    while rows.ready:
        shard = data.draw(st.sampled_from(sorted(rows.ready)))
        before = set(rows.ready)
        every[shard] = finished(shard, parents=every[shard].parents)
        freed = rows.put(every[shard])
        expected = {row.shard for row in ready_leases(every.values(), graph, TRIM_SECONDS)}
        assert rows.ready == expected
        assert set(freed) == expected - before
    assert all(row.finished for row in every.values())
    assert not rows.stuck
