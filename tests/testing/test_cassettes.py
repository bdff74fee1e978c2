"""Cassettes as tests use them: events for a plain call, and streams that a simulation replays."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from testing.tapes import START_SECONDS, STREAM, TTL, change, closed, header, named, shard, tape

from triggerkit import Change, Removed, Triggers
from triggerkit.cassettes.lines import VERSION, Recorded
from triggerkit.cassettes.reading import without_account
from triggerkit.errors import CassetteError, UsageError
from triggerkit.testing import Simulation, load_cassette

GZIP_HEADER_BYTES = 10
handlers = Triggers("orders", maximum_retry_attempts=3)


@handlers.on("dynamodb://orders", batch_size=10)
def notify(event: Any, context: Any) -> None:
    assert event["Records"]


def keys(event: Any) -> list[str]:
    return [record["dynamodb"]["Keys"]["id"]["S"] for record in event["Records"]]


@pytest.fixture
def split(tmp_path: Path) -> Path:
    """Two items in one shard, which splits, and one half of it rolls."""
    return tape(
        tmp_path / "split.jsonl.gz",
        shard("a"),
        *(change("a", str(number)) for number in range(4)),
        closed("a", "b", "c"),
        shard("b", "a"),
        shard("c", "a"),
        change("b", "0", "2", "new", after_seconds=60),
        change("b", "2", "2", "new", after_seconds=61),
        closed("b", "d"),
        shard("d", "b"),
        change("c", "1", None, "new", after_seconds=30),
        change("d", "0", "3", "2", after_seconds=90),
        change("c", "3", None, "new", after_seconds=120, userIdentity=TTL),
    )


# --- events --------------------------------------------------------------------------------------


def test_events_have_records_of_one_shard_each_and_parents_come_first(split: Path) -> None:
    events = list(load_cassette(split).events(batch_size=3))
    assert [keys(event) for event in events] == [
        *(["0", "1", "2"], ["3"], ["0", "2"], ["1", "3"], ["0"]),
    ]
    first = events[0]["Records"][0]  # type: ignore[index]
    assert first["eventSourceARN"] == STREAM
    assert first["dynamodb"]["SequenceNumber"] == "4421584500000000017450439091"
    assert first["dynamodb"]["ApproximateCreationDateTime"] == float(START_SECONDS)
    last = events[3]["Records"][1]  # type: ignore[index]
    assert last["userIdentity"] == {
        "type": "Service",
        "principalId": "dynamodb.amazonaws.com",
    }


def test_records_come_one_by_one_and_a_cassette_says_what_it_is(split: Path) -> None:
    cassette = load_cassette(str(split))
    assert keys({"Records": cassette.records()}) == [*"0123021", *"03"]
    assert (cassette.table, cassette.keys) == ("orders", (("id", "S"),))
    assert cassette.view_type == "NEW_AND_OLD_IMAGES"
    assert cassette.recorded_at.isoformat() == "2026-01-31T14:40:00+00:00"


def test_a_batch_has_at_least_one_record(split: Path) -> None:
    with pytest.raises(UsageError, match="batch_size is 0"):
        next(load_cassette(split).events(0))


def test_a_stream_made_anew_has_its_own_arn(tmp_path: Path) -> None:
    later = "2026-02-01T00_00_00.000:shardId-a"
    path = tape(tmp_path / "two.jsonl", shard("a"), change("a", "1"), change(later, "2"))
    arns = [record["eventSourceARN"] for record in load_cassette(path).records()]
    assert arns == [STREAM, STREAM.replace("2026-01-31T14:30:00.000", "2026-02-01T00:00:00.000")]


def test_the_account_can_be_left_out() -> None:
    assert without_account(STREAM) == STREAM.replace("123456789012", "000000000000")


# --- files ---------------------------------------------------------------------------------------


def test_the_same_records_are_the_same_bytes(split: Path, tmp_path: Path) -> None:
    again = tape(tmp_path / "other.jsonl.gz", *load_cassette(split).lines())
    assert split.read_bytes() == again.read_bytes()
    assert split.stat().st_mode & 0o777 == 0o600


def test_an_unpacked_cassette_is_one_and_can_be_edited(split: Path, tmp_path: Path) -> None:
    lines = gzip.decompress(split.read_bytes()).decode().splitlines(keepends=True)
    plain = tmp_path / "edited.jsonl"
    plain.write_text("".join(line for line in lines if '"2"' not in line))
    assert keys({"Records": load_cassette(plain).records()}) == [*"01313"]


def test_a_file_that_was_cut_off_says_so_and_gives_what_it_has(split: Path, tmp_path: Path) -> None:
    whole, packed = list(load_cassette(split).records()), split.read_bytes()
    unpacked = gzip.decompress(packed)
    found: set[int] = set()
    for content, step in ((packed, 5), (unpacked, 37)):
        for size in [*range(0, len(content), step), len(content) - 1]:
            path = tmp_path / "cut"
            path.write_bytes(content[:size])
            try:
                cut = load_cassette(path, allow_cut=True)
            except CassetteError:
                continue  # not even the header is whole
            some = list(cut.records())
            assert some == whole[: len(some)]
            found.add(len(some))
            if content[:size] != unpacked[:-1]:
                with pytest.raises(CassetteError, match="was cut off after line") as refused:
                    list(load_cassette(path).records())
                assert "allow_cut=True" in refused.value.hint
    assert found >= {0, len(whole)}


def test_a_damaged_byte_never_goes_unnoticed(split: Path, tmp_path: Path) -> None:
    whole, packed = list(load_cassette(split).records()), split.read_bytes()
    path = tmp_path / "damaged.jsonl.gz"
    for place in range(GZIP_HEADER_BYTES, len(packed)):
        path.write_bytes(packed[:place] + bytes([packed[place] ^ 0x10]) + packed[place + 1 :])
        with pytest.raises(CassetteError) as refused:
            assert list(load_cassette(path).records()) == whole
        assert str(path) in refused.value.message
        assert refused.value.hint
        assert refused.value.code == "cassette"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "is not a cassette"),
        ("hello\n", "is not a cassette"),
        ('{"Records": []}\n', "is not a cassette"),
        ('{"line":"cassette","version":1}\n', "is not a cassette"),
        (f'{{"line":"cassette","version":{VERSION + 1},"new":[]}}\n', "has format 2, and this"),
    ],
)
def test_what_is_no_cassette_or_a_newer_one_is_refused(
    content: str, says: str, tmp_path: Path
) -> None:
    path = tmp_path / "orders.jsonl"
    path.write_text(content)
    with pytest.raises(CassetteError, match=says) as refused:
        load_cassette(path)
    assert refused.value.hint


@pytest.mark.parametrize("line", ['{"line":"song"}', "{}", "7", '{"line":"record","shard":1}'])
def test_a_line_that_is_none_is_named_by_its_number(line: str, split: Path, tmp_path: Path) -> None:
    lines = gzip.decompress(split.read_bytes()).decode().splitlines()
    path = tmp_path / "orders.jsonl"
    path.write_text("\n".join([*lines[:4], line, *lines[5:]]) + "\n")
    with pytest.raises(CassetteError, match="is damaged line 5: "):
        list(load_cassette(path).records())


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CassetteError, match=r"nosuch\.gz cannot be read"):
        load_cassette(tmp_path / "nosuch.gz")
    with (
        Simulation(handlers, folder=tmp_path) as sim,
        pytest.raises(CassetteError, match=rf"no cassette {tmp_path}/nosuch\.gz or "),
    ):
        sim.play("nosuch.gz")


# --- played --------------------------------------------------------------------------------------


def lineage(sim: Simulation) -> dict[str, tuple[str | None, list[str]]]:
    """Shard to its parent and the keys of its records."""
    found: dict[str, tuple[str | None, list[str]]] = {}
    call = sim.emulator.call
    for arn in sim.emulator.stream_arns("orders"):
        for one in call("DescribeStream", {"StreamArn": arn})["StreamDescription"]["Shards"]:
            place = {"StreamArn": arn, "ShardId": one["ShardId"]}
            asked = {**place, "ShardIteratorType": "TRIM_HORIZON"}
            iterator = call("GetShardIterator", asked)["ShardIterator"]
            records = call("GetRecords", {"ShardIterator": iterator})
            found[one["ShardId"]] = one.get("ParentShardId"), keys(records)
    return found


def test_shards_split_and_roll_where_they_did(split: Path) -> None:
    with Simulation(handlers) as sim:
        table = sim.play(split)
        shards = lineage(sim)
        told = sorted((shards[above][1] if above else [], own) for above, own in shards.values())
        assert told == [
            ([], [*"0123"]),
            ([*"0123"], [*"02"]),
            ([*"0123"], [*"13"]),
            ([*"02"], ["0"]),
        ]
        sim.run_until_idle()
        assert sorted(sim.calls(notify).keys) == sorted("012302103")
        assert not sim.out_of_order
        assert not sim.lost
        assert table.get(id="0") == {"id": "0", "is": "3"}
        assert table.get(id="1") is None


def test_batches_are_those_of_the_recording(split: Path) -> None:
    with Simulation(handlers) as sim:
        sim.play(split)
        sim.run_until_idle()
        got = sorted(keys(event) for event in sim.calls(notify).events)
        assert got == sorted(keys(event) for event in load_cassette(split).events(10))


def test_a_change_comes_with_the_images_that_were_recorded(tmp_path: Path) -> None:
    seen = []
    typed = Triggers("orders")

    @typed.each("dynamodb://orders")
    def watch(one: Change[dict[str, Any]]) -> None:
        old = one.old["is"] if one.old else None
        new = one.new["is"] if one.new else None
        seen.append((type(one).__name__, old, new, isinstance(one, Removed) and one.expired))

    path = tape(
        tmp_path / "orders.jsonl",
        shard("a"),
        change("a", "1", "paid", "placed"),  # its insert was not recorded
        change("a", "1", None, "paid", userIdentity=TTL),
        change("a", "2", None, "old"),
    )
    with Simulation(typed, folder=tmp_path) as sim:
        sim.play(path.name)
        sim.run_until_idle()
    assert seen == [
        ("Modified", "placed", "paid", False),
        ("Removed", "paid", None, True),
        ("Removed", "old", None, False),
    ]


def test_writes_before_between_and_behind_cassettes_keep_the_order_of_items(split: Path) -> None:
    with Simulation(handlers, workers=2) as sim:
        sim.table("orders").put(id="1", n=0)
        sim.split("orders")
        sim.table("orders").put(id="3", n=1)
        sim.play(split)
        sim.table("orders").put(id="1", n=2)
        sim.advance(0.05)
        sim.play(split, pace="recorded")
        sim.table("orders").put(id="1", n=3)
        sim.run_until_idle()
        assert not sim.out_of_order
        assert not sim.lost
        assert len(sim.calls(notify).keys) == 22
        assert sim.table("orders").get(id="1") == {"id": "1", "n": 3}


def test_at_the_recorded_pace_time_passes_as_it_did(split: Path) -> None:
    with Simulation(handlers) as sim:
        began_seconds = sim.now_seconds
        sim.play(split, pace="recorded")
        assert sim.now_seconds == pytest.approx(began_seconds + 120)
        sim.run_until_idle()
        calls = [(call.keys, round(call.at_seconds - began_seconds)) for call in sim.calls(notify)]
        assert len(calls) == 6
        for wanted, at_seconds in [("1", 30), ("0", 60), ("2", 61), ("0", 90), ("3", 120)]:
            assert [at for keys, at in calls if keys == (wanted,) and 0 <= at - at_seconds <= 2]
        change = sim.calls(notify)[-1].records[-1]["dynamodb"]
        assert change["ApproximateCreationDateTime"] == int(began_seconds + 120)


def test_a_trigger_that_starts_at_the_tip_sees_the_cassette(split: Path) -> None:
    late = Triggers("late")

    @late.on("dynamodb://orders", starting_position="LATEST")
    def watch(event: Any, context: Any) -> None: ...

    with Simulation(late) as sim:
        sim.play(split)
        sim.run_until_idle()
        assert len(sim.calls(watch).keys) == 9


def test_another_table_plays_it_when_it_is_named(split: Path) -> None:
    other = Triggers("other")

    @other.on("dynamodb://dev_orders")
    def watch(event: Any, context: Any) -> None: ...

    with Simulation(other) as sim:
        with pytest.raises(UsageError, match="'orders'") as refused:
            sim.play(split)
        assert refused.value.hint == "say which one plays it: table='dev_orders'"
        sim.play(split, table="dev_orders")
        sim.run_until_idle()
        assert len(sim.calls(watch).keys) == 9


def test_a_table_of_another_key_is_refused(split: Path) -> None:
    with Simulation(handlers) as sim:
        sim.table("orders", key="pk:S,sk:N")
        with pytest.raises(UsageError, match="with the key pk:S,sk:N"):
            sim.play(split)


def test_several_roots_get_a_shard_each(tmp_path: Path) -> None:
    roots = "abcde"
    lines = [change(roots[number % 5], str(number)) for number in range(20)]
    path = tape(tmp_path / "roots.jsonl", *map(shard, roots), *lines)
    with Simulation(handlers) as sim:
        sim.play(path)
        with_records = sorted(own for _, own in lineage(sim).values() if own)
        assert with_records == sorted([str(n) for n in range(root, 20, 5)] for root in range(5))


def test_a_stream_that_was_turned_off_and_on_is_made_anew(tmp_path: Path) -> None:
    later = [f"2026-02-01T00_00_00.000:shardId-{name}" for name in "ab"]
    path = tape(
        tmp_path / "again.jsonl",
        shard("a"),
        shard("b"),
        change("a", "1", "1"),
        change("b", "2", "1"),
        closed("a", *later),
        closed("b", *later),
        *(shard(one, "a", "b") for one in later),
        change(later[0], "2", "2", "1"),
        change(later[1], "1", "2", "1"),
    )
    with Simulation(handlers) as sim:
        sim.play(path)
        assert len(sim.emulator.stream_arns("orders")) == 2
        sim.run_until_idle()
        assert sorted(sim.calls(notify).keys) == ["1", "1", "2", "2"]
        assert not sim.out_of_order


def test_a_sort_key_and_a_view_without_images_are_taken_over(tmp_path: Path) -> None:
    lines = []
    for number in range(3):
        wire = msgspec.json.decode(change("a", "x").record)
        wire["dynamodb"] = {"Keys": {"sk": {"N": str(number)}, "pk": {"S": "x"}}, "SizeBytes": 7}
        lines.append(Recorded(named("a"), msgspec.Raw(msgspec.json.encode(wire))))
    keyed = header(keys=(("pk", "S"), ("sk", "N")), view_type="KEYS_ONLY")
    path = tape(tmp_path / "keys.jsonl", shard("a"), *lines, first=keyed)
    with Simulation(handlers) as sim:
        assert sim.play(path).key == "pk:S,sk:N"
        sim.run_until_idle()
        assert sim.calls(notify).keys == [("x", 0), ("x", 1), ("x", 2)]


def test_a_record_that_does_not_fit_the_table_is_refused(tmp_path: Path) -> None:
    wrong = header(keys=(("other", "S"),))
    path = tape(tmp_path / "wrong.jsonl", shard("a"), change("a", "1"), first=wrong)
    with (
        Simulation(handlers) as sim,
        pytest.raises(CassetteError, match=r"wrong\.jsonl cannot be played into table 'orders'"),
    ):
        sim.play(path)


@pytest.mark.parametrize("pace", ["at once", "recorded"])
@pytest.mark.parametrize("seed", range(8))
def test_a_cassette_in_a_troubled_world_loses_nothing(seed: int, pace: Any, split: Path) -> None:
    with Simulation(handlers, seed=seed, workers=2, faults="all") as sim:
        sim.play(split, pace=pace)
        sim.run_until_idle()
        sim.check()
        assert {"0", "1", "2", "3"} == {record.key for record in sim.discarded} | set(
            sim.calls(notify).keys
        )


def test_the_same_seed_plays_it_the_same_way(split: Path) -> None:
    told = []
    for _ in range(2):
        with Simulation(handlers, seed=3, workers=2, faults="all") as sim:
            sim.play(split, pace="recorded")
            sim.run_until_idle()
            told.append([(call.worker, call.at_seconds, call.keys) for call in sim.calls(notify)])
    assert told[0] == told[1]


PLUGIN = """
import pytest
from triggerkit import Triggers
handlers = Triggers("orders")
state = {}

@handlers.on("dynamodb://orders")
def keep(event, context):
    for record in event["Records"]:
        image = record["dynamodb"].get("NewImage", {"is": {"S": "gone"}})
        state[record["dynamodb"]["Keys"]["id"]["S"]] = image["is"]["S"]

@pytest.mark.triggerkit_cassette("tapes/split.jsonl.gz")
def test_played(triggerkit_sim):
    sim = triggerkit_sim(handlers)
    sim.run_until_idle()
    assert len(sim.calls("keep").keys) == 9

@pytest.mark.triggerkit_cassette("tapes/split.jsonl.gz", pace="recorded")
@pytest.mark.triggerkit_chaos(seeds=10, faults="split,kill,throttle,expire")
def test_in_chaos(triggerkit_sim):
    state.clear()
    triggerkit_sim(handlers, workers=2).run_until_idle()
    assert state == {"0": "3", "1": "gone", "2": "2", "3": "gone"}

def test_by_hand(triggerkit_sim):
    sim = triggerkit_sim(handlers)
    sim.fail_next(keep)
    sim.play("tapes/split.jsonl.gz")
    sim.run_until_idle()

def test_nothing_heavy():
    import sys
    assert not {"boto3", "botocore"} & set(sys.modules)

@pytest.mark.triggerkit_cassette("nosuch.jsonl.gz")
def test_missing(triggerkit_sim):
    triggerkit_sim(handlers)
"""


def test_the_plugin_plays_a_cassette_that_lies_beside_the_test(split: Path) -> None:
    folder = split.parent / "project" / "tests"
    (folder / "tapes").mkdir(parents=True)
    split.rename(folder / "tapes" / split.name)
    (folder / "test_it.py").write_text(PLUGIN)
    done = subprocess.run(
        [
            *(sys.executable, "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *("-p", "no:triggerkit", "-p", "triggerkit.testing.plugin", "--strict-markers"),
        ],
        cwd=folder.parent,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "1 failed, 13 passed" in done.stdout, done.stdout  # ten of them are worlds of one test
    assert f"there is no cassette {folder}/nosuch.jsonl.gz" in done.stdout


def test_cassettes_of_the_first_format_are_read_for_ever() -> None:
    """The file is as version 0.1.0 wrote it, and is never written anew: people have committed such files."""
    cassette = load_cassette(Path(__file__).with_name("samples") / "format_1.jsonl")
    assert cassette.header.redacted == ("email",)
    with Simulation(handlers) as sim:
        sim.play(cassette)
        sim.run_until_idle()
        assert sorted(sim.calls(notify).keys) == ["1", "1", "2", "2"]
