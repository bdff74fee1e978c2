"""Kinesis in the emulator answers, stores and reshards as Kinesis Mock 0.6.2 does, and errs as kinesalite 3.3.3.

Every random choice comes from a seed that a failure prints. Random scenarios may not differ at all; odd requests
only as `emulator/kinesis_divergences.py` lists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

import pytest
from emulator.kinesis_divergences import KINESALITE, KINESIS_MOCK
from emulator.kinesis_sides import KinesisSide, emulator_side, server_side
from emulator.listed import Comparison
from emulator.odd_kinesis import (
    CHANGING,
    ITERATOR,
    LARGEST,
    edges,
    filled,
    odd_requests,
    prepare,
    second_page,
    shape,
    unknown_to_kinesalite,
)
from emulator.random_kinesis import Streams
from kinesalite import running_kinesalite
from kinesis_mock import running_kinesis_mock

from triggerkit.emulator import Emulator

pytestmark = pytest.mark.real

SEEDS = 40
STEPS = 40


@pytest.fixture(scope="module")
def kinesis_mock() -> Iterator[KinesisSide]:
    with running_kinesis_mock() as url, server_side(url) as side:
        yield side


@pytest.fixture(scope="module")
def kinesalite() -> Iterator[KinesisSide]:
    with running_kinesalite() as url, server_side(url) as side:
        yield side


@pytest.mark.parametrize("seed", range(SEEDS))
def test_random_operations_on_several_streams_do_the_same(
    kinesis_mock: KinesisSide, seed: int, record_property: Callable[[str, object], None]
) -> None:
    kinesis_mock.clean()
    kinesis_mock.forget()
    comparison = Comparison(())
    sides = (emulator_side(Emulator()), kinesis_mock)
    streams = Streams(sides, Random(5000 + seed), comparison, f"seed {seed}")
    for _ in range(STEPS):
        streams.step()
    for stream in streams.scaled:
        streams.read_through(stream)
    record_property("comparison", comparison.figures("Kinesis Mock 0.6.2, random", 1))


def compare_odd_requests(reference: KinesisSide, comparison: Comparison, *, old: bool) -> int:
    """Ask every odd request of both and return how many.

    `old` leaves out what kinesalite does not know; the largest goes to kinesalite only, which is quick about it.
    """
    sides = (emulator_side(Emulator()), reference)
    asked, fresh = 0, False
    for odd, operation, request in odd_requests():
        if unknown_to_kinesalite(odd, operation, request) if old else odd == LARGEST:
            continue
        if not fresh:
            for side in sides:
                prepare(side)
        answers = [shape(side.call(operation, **filled(side, request))) for side in sides]
        comparison.judge(f"{operation}: {odd}", answers[0], answers[1])
        asked += 1
        fresh = operation not in CHANGING or not any(each.startswith("ok") for each in answers)
    return asked


@pytest.mark.slow
def test_odd_requests_differ_from_kinesis_mock_only_as_listed(
    kinesis_mock: KinesisSide, record_property: Callable[[str, object], None]
) -> None:
    comparison = Comparison(KINESIS_MOCK)
    asked = compare_odd_requests(kinesis_mock, comparison, old=False)
    sides = (emulator_side(Emulator()), kinesis_mock)
    for count, target in ((1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (2, 3)):
        made = [edges(side, count, target) for side in sides]
        of = f"{target} shards" + (f" made of {count}" if target != count else "")
        comparison.judge(f"edges of {of}", *made)
    pages = [second_page(side) for side in sides]
    comparison.judge("ListShards: next page of AT_LATEST", *pages)
    for side in sides:
        prepare(side)
    nulls = [null_members(side) for side in sides]
    comparison.judge("GetRecords: null members", *nulls)
    record_property("comparison", comparison.figures("Kinesis Mock 0.6.2, catalogue", asked))
    assert not comparison.vanished(), "listed differences that never showed"


@pytest.mark.slow
def test_odd_requests_differ_from_kinesalite_only_as_listed(
    kinesalite: KinesisSide, record_property: Callable[[str, object], None]
) -> None:
    comparison = Comparison(KINESALITE)
    asked = compare_odd_requests(kinesalite, comparison, old=True)
    record_property("comparison", comparison.figures("kinesalite 3.3.3, catalogue", asked))
    assert not comparison.vanished(), "listed differences that never showed"


def null_members(side: KinesisSide) -> str:
    answer = side.call("GetRecords", ShardIterator=side.iterators[ITERATOR])
    return "some" if None in answer.values() else "none"
