"""The shard graph: shape only, parents first."""

from __future__ import annotations

import pytest
from core.builders import shards
from hypothesis import given, settings
from hypothesis import strategies as st

from triggerkit.core.lineage import ShardGraph
from triggerkit.core.model import Shard, ShardId

SPLIT_AND_MERGE = {"p": "", "q": "", "a": "p", "b": "p", "m": "b q", "z": "a m"}


def graph(shape: dict[str, str]) -> ShardGraph:
    return ShardGraph(shards(shape))


def test_children_are_the_shards_that_name_a_shard_as_parent() -> None:
    shape = graph(SPLIT_AND_MERGE)
    assert shape.children(ShardId("p")) == ("a", "b")
    assert shape.children(ShardId("q")) == ("m",)
    assert shape.children(ShardId("z")) == ()
    assert shape.children(ShardId("nobody")) == ()


def test_leaves_have_no_listed_children() -> None:
    assert graph(SPLIT_AND_MERGE).leaves() == ("z",)
    assert graph({"b": "a", "c": "a"}).leaves() == ("b", "c")


def test_a_parent_that_is_not_listed_is_no_part_of_the_graph() -> None:
    shape = graph({"b": "trimmed", "c": "b"})
    assert "trimmed" not in shape
    assert shape.listed_parents(ShardId("b")) == ()
    assert shape.listed_parents(ShardId("c")) == ("b",)
    assert shape.ancestors_first() == ("b", "c")


def test_a_graph_is_a_collection_of_its_shards() -> None:
    shape = graph({"b": "a", "a": ""})
    assert [shard.id for shard in shape] == ["b", "a"]
    assert shape[ShardId("b")] == Shard(ShardId("b"), parents=(ShardId("a"),))
    assert ShardId("a") in shape


def test_ancestors_first_puts_a_merge_behind_both_sides_and_equals_in_id_order() -> None:
    assert graph(SPLIT_AND_MERGE).ancestors_first() == ("p", "a", "b", "q", "m", "z")
    assert graph({"c": "", "b": "", "a": ""}).ancestors_first() == ("a", "b", "c")


def test_a_shard_that_is_its_own_parent_is_neither_its_child_nor_blocked() -> None:
    shape = graph({"a": "a", "b": "a"})
    assert shape.children(ShardId("a")) == ("b",)
    assert shape.listed_parents(ShardId("a")) == ()
    assert shape.ancestors_first() == ("a", "b")


@pytest.mark.parametrize(
    ("shard", "among", "found"),
    [
        ("p", "z", True),
        ("p", "m", True),
        ("q", "a", False),
        ("z", "z", False),
        ("p", "", False),
        ("nobody", "z", False),
    ],
)
def test_a_descendant_is_found_at_any_depth(shard: str, among: str, found: bool) -> None:
    wanted = [ShardId(name) for name in among.split()]
    assert (ShardId(shard) in graph(SPLIT_AND_MERGE).ancestors_of(wanted)) is found


def test_a_search_in_a_cycle_ends() -> None:
    shape = graph({"a": "b", "b": "a", "c": "b"})
    assert shape.ancestors_of([ShardId("x")]) == frozenset()
    assert shape.ancestors_of([ShardId("a")]) == {"a", "b"}
    assert shape.ancestors_of([ShardId("c")]) == {"a", "b"}
    assert sorted(shape.ancestors_first()) == ["a", "b", "c"]


@st.composite
def acyclic_shapes(draw: st.DrawFn) -> dict[str, str]:
    """Up to two parents each, older shards only, in shuffled names and order of listing."""
    size = draw(st.integers(0, 14))
    ids = draw(st.permutations([f"s{i}" for i in range(size)]))
    shape: dict[str, str] = {}
    for index, name in enumerate(ids):
        older = st.lists(st.sampled_from([*ids[:index], "trimmed"]), max_size=2)
        shape[name] = " ".join(draw(older))
    order = draw(st.permutations(sorted(shape)))
    return {name: shape[name] for name in order}


@settings(derandomize=True, deadline=None, max_examples=200)
@given(shape=acyclic_shapes())
def test_ancestors_first_puts_every_shard_behind_its_parents(shape: dict[str, str]) -> None:
    ordered = graph(shape).ancestors_first()
    assert sorted(ordered) == sorted(shape)
    place = {shard: index for index, shard in enumerate(ordered)}
    for name, parents in shape.items():
        for parent in parents.split():
            if parent in shape:
                assert place[ShardId(parent)] < place[ShardId(name)]


@settings(derandomize=True, deadline=None, max_examples=100)
@given(
    edges=st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from("abcdefx")), max_size=14)
)
def test_a_listing_with_cycles_still_has_every_shard_once(edges: list[tuple[str, str]]) -> None:
    parents: dict[str, list[str]] = {name: [] for name in "abcdef"}
    for child, parent in edges:
        parents[child].append(parent)
    shape = {name: " ".join(named) for name, named in parents.items()}
    assert sorted(graph(shape).ancestors_first()) == sorted(shape)
