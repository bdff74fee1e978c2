"""What happens to the stream and to its reader, one thing at a time.

A scenario is a fault that the services' documentation allows, on a reader that is used as its own
documentation says; each ends with `drain`, so that everything can still arrive.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from outside.stage import Service, Stage
from triggerkit.emulator import Damage

BOTH = (Service.DYNAMODB, Service.KINESIS)
LIFE_SECONDS = {Service.DYNAMODB: 16 * 60.0, Service.KINESIS: 6 * 60.0}
"""Longer than an iterator lives."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One thing that happens. `play` ends before the judge is asked."""

    name: str
    tells: str
    play: Callable[[Stage], None]
    services: tuple[Service, ...] = BOTH
    position: Literal["TRIM_HORIZON", "LATEST"] = "TRIM_HORIZON"
    shards: int = 1
    workers: int = 1
    catches: bool = False
    """Whether a loop that the subject's user writes catches what is raised, and goes on with it."""


def steady(stage: Stage) -> None:
    stage.write(stage.some(30, 60))
    stage.begin()
    stage.write(stage.some(30, 60))
    stage.drain()


def split_unread(stage: Stage) -> None:
    stage.write(stage.some(60, 120))
    stage.split()
    stage.write(stage.some(60, 120))
    stage.begin()
    stage.drain()


def roll_chain(stage: Stage) -> None:
    for count in (20, 20, 0, 20, 0, 20):
        stage.write(count)
        stage.roll()
    stage.write(stage.some(20, 40))
    stage.begin()
    stage.drain()


def long_backlog(stage: Stage) -> None:
    stage.write(600)
    stage.split()
    stage.write(stage.some(100, 200))
    stage.begin()
    stage.drain()


def roll_reading(stage: Stage) -> None:
    stage.write(stage.some(30, 50))
    stage.begin()
    stage.take(10)
    stage.write(stage.some(20, 40))
    stage.roll()
    stage.write(stage.some(20, 40))
    stage.drain()


def split_busy(stage: Stage) -> None:
    stage.write(stage.some(40, 60))
    stage.begin()
    stage.take(5)
    stage.split()
    stage.write(stage.some(40, 60))
    stage.split()
    stage.write(stage.some(40, 60))
    stage.drain()


def merge_unread(stage: Stage) -> None:
    stage.write(stage.some(300, 400))
    stage.merge()
    stage.write(stage.some(40, 60))
    stage.begin()
    stage.drain()


def merge_reading(stage: Stage) -> None:
    stage.write(stage.some(20, 40))
    stage.begin()
    stage.take(10)
    stage.write(stage.some(200, 300))
    stage.merge()
    stage.write(stage.some(40, 60))
    stage.drain()


def drained_shard(stage: Stage) -> None:
    stage.write(stage.some(20, 40))
    stage.begin()
    stage.let_run()
    stage.roll()
    stage.write(stage.some(20, 40))
    stage.drain()


def expiry_busy(stage: Stage) -> None:
    stage.write(stage.some(60, 90))
    stage.begin()
    stage.take(20)
    stage.write(stage.some(20, 40))
    stage.pass_seconds(LIFE_SECONDS[stage.service])
    stage.expire_iterators()
    stage.drain()


def expiry_unread(stage: Stage) -> None:
    stage.begin(at_tip=True)
    stage.let_run()
    stage.freeze()
    stage.write(stage.some(20, 40))
    stage.pass_seconds(LIFE_SECONDS[stage.service])
    stage.expire_iterators()
    stage.thaw()
    stage.drain()


def trimmed_stopped(stage: Stage) -> None:
    stage.write(stage.some(40, 60))
    stage.begin()
    stage.take(10)
    stage.stop()
    stage.trim()
    stage.write(stage.some(20, 40))
    stage.begin()
    stage.drain()


def trimmed_busy(stage: Stage) -> None:
    stage.write(stage.some(40, 60))
    stage.begin()
    stage.take(10)
    stage.freeze()
    stage.write(stage.some(20, 40))
    stage.trim()
    stage.thaw()
    stage.write(stage.some(20, 40))
    stage.drain()


def parent_gone(stage: Stage) -> None:
    stage.write(stage.some(20, 40))
    stage.split()
    stage.trim_parents()
    stage.write(stage.some(20, 40))
    stage.begin()
    stage.drain()


def parent_gone_stopped(stage: Stage) -> None:
    stage.write(stage.some(20, 40))
    stage.begin()
    stage.take(10)
    stage.stop()
    stage.split()
    stage.trim_parents()
    stage.write(stage.some(20, 40))
    stage.begin()
    stage.drain()


def tip_rolled(stage: Stage) -> None:
    stage.write(stage.some(20, 40))
    stage.begin(at_tip=True)
    stage.write(stage.some(20, 40))
    stage.roll()
    stage.write(stage.some(20, 40))
    stage.drain()


def late_children(stage: Stage) -> None:
    stage.write(stage.some(20, 40))
    stage.begin()
    stage.take(5)
    stage.split()
    stage.hide_children()
    stage.write(stage.some(20, 40))
    stage.let_run()
    stage.show_children()
    stage.drain()


def empty_listing(stage: Stage) -> None:
    stage.write(stage.some(20, 40))
    stage.begin()
    stage.take(5)
    stage.stop()
    stage.hide_all()
    stage.begin()
    stage.let_run()
    stage.show_children()
    stage.write(stage.some(20, 40))
    stage.drain()


def paged_listing(stage: Stage) -> None:
    stage.faults.listing_page_size(2)
    split_busy(stage)


def reordered_listing(stage: Stage) -> None:
    stage.faults.reorder_listings()
    split_busy(stage)


def empty_pages(stage: Stage) -> None:
    stage.write(stage.some(20, 40))
    stage.faults.empty_pages(stage.some(6, 12))
    stage.begin()
    stage.take(10)
    stage.write(stage.some(20, 40))
    stage.roll()
    stage.write(stage.some(20, 40))
    stage.faults.empty_pages(stage.some(6, 12))
    stage.drain()


def repeated_pages(stage: Stage) -> None:
    stage.write(stage.some(120, 160))
    stage.faults.duplicate(times=3, records=5)
    stage.begin()
    stage.drain()


def late_records(stage: Stage) -> None:
    stage.faults.visibility_delay(2.0)
    stage.write(stage.some(20, 40))
    stage.begin()
    stage.take(5)
    stage.write(stage.some(20, 40))
    stage.roll()
    stage.write(stage.some(20, 40))
    stage.drain()


def long_call(stage: Stage) -> None:
    stage.write(stage.some(300, 400))
    stage.begin()
    stage.take(5)
    stage.busy(120)
    stage.drain()


def throttle_short(stage: Stage) -> None:
    stage.write(stage.some(40, 60))
    stage.begin()
    stage.take(5)
    stage.throttle(3)
    stage.write(stage.some(40, 60))
    stage.drain()


def throttle_long(stage: Stage) -> None:
    stage.write(stage.some(40, 60))
    stage.begin()
    stage.take(5)
    stage.throttle(15)
    stage.write(stage.some(40, 60))
    stage.drain()


def damaged(stage: Stage) -> None:
    stage.write(stage.some(40, 60))
    stage.begin()
    stage.take(5)
    stage.freeze()
    stage.write(stage.some(40, 60))
    stage.damage(Damage.TRUNCATED)
    stage.thaw()
    stage.drain()


def restart_at_split(stage: Stage) -> None:
    stage.write(stage.some(40, 60))
    stage.begin()
    stage.take(15)
    stage.split()
    stage.write(stage.some(40, 60))
    stage.restart()
    stage.take(15)
    stage.restart()
    stage.drain()


def restart_behind_split(stage: Stage) -> None:
    stage.write(stage.some(40, 60))
    stage.split()
    stage.write(stage.some(40, 60))
    stage.begin()
    stage.take(stage.some(30, 90))
    stage.restart()
    stage.drain()


def crash_busy(stage: Stage) -> None:
    stage.write(stage.some(60, 90))
    stage.begin()
    for _ in range(3):
        stage.take(stage.some(5, 15))
        stage.crash()
    stage.drain()


def two_workers(stage: Stage) -> None:
    stage.write(stage.some(80, 120))
    stage.begin()
    stage.take(20)
    stage.split()
    stage.write(stage.some(80, 120))
    stage.take(20)
    stage.kill_worker(0)
    stage.drain()


KINESIS_ONLY = (Service.KINESIS,)
SCENARIOS = (
    Scenario("steady", "nothing happens", steady),
    Scenario("split unread", "split before the first read; the parent has records", split_unread),
    Scenario("roll chain", "six rolls before the first read, some shards empty", roll_chain),
    Scenario("long backlog", "a parent of several pages, split, all unread", long_backlog),
    Scenario("roll while reading", "a shard closes with unread records", roll_reading),
    Scenario("split twice", "two splits while the handler is busy", split_busy),
    Scenario("merge unread", "merge before the first read", merge_unread, KINESIS_ONLY, shards=2),
    Scenario("merge while reading", "merge on the way", merge_reading, KINESIS_ONLY, shards=2),
    Scenario("roll when drained", "a shard closes with nothing unread", drained_shard),
    Scenario("expired, busy", "iterators expire while the handler is busy", expiry_busy),
    Scenario(
        "expired at the tip",
        "LATEST; records come and iterators expire while the process sleeps",
        expiry_unread,
        position="LATEST",
    ),
    Scenario("trimmed, stopped", "unread records are trimmed between two runs", trimmed_stopped),
    Scenario(
        "trimmed, asleep", "unread records are trimmed while the process sleeps", trimmed_busy
    ),
    Scenario("parent gone", "the first listing has children whose parent is gone", parent_gone),
    Scenario(
        "parent gone, stopped", "the shard read last has left the listing", parent_gone_stopped
    ),
    Scenario(
        "rolled from the tip", "LATEST; written, rolled, written", tip_rolled, position="LATEST"
    ),
    Scenario("late children", "children are listed only after their parent is read", late_children),
    Scenario("empty listing", "no shard is listed for a while at a start", empty_listing),
    Scenario("slow handler", "one call takes two minutes, with a backlog", long_call),
    Scenario("paged listing", "two splits; listings have two shards a page", paged_listing),
    Scenario("reordered listing", "two splits; listings follow no order", reordered_listing),
    Scenario("empty pages", "pages without records before records, in every shard", empty_pages),
    Scenario("repeated records", "the service answers some records twice", repeated_pages),
    Scenario("late records", "records can be read two seconds late; a roll", late_records),
    Scenario(
        "throttled 3", "three reads of one of two shards are refused", throttle_short, shards=2
    ),
    Scenario(
        "throttled 15", "fifteen reads of one of two shards are refused", throttle_long, shards=2
    ),
    Scenario(
        "throttled 15, caught",
        "the same, and the user's own loop catches the error and goes on",
        throttle_long,
        (Service.DYNAMODB,),
        shards=2,
        catches=True,
    ),
    Scenario("damaged body", "one answer of status 200 is cut in half", damaged),
    Scenario("restart at a split", "stopped and started around a split", restart_at_split),
    Scenario("restart behind", "stopped and started anywhere around a split", restart_behind_split),
    Scenario("crash", "killed three times while the handler is busy", crash_busy),
    Scenario("two workers", "two workers, splits, one is killed", two_workers, shards=4, workers=2),
)
