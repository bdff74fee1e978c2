"""Credentials that are rotated under a source that reads: every call goes on with the new ones."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from aws.guarded import (
    ROLE,
    TABLE_NAME,
    WAYS,
    Guarded,
    Place,
    Way,
    assumed_role,
    credential_process,
    credentials_file,
    guarded,
    laid_out,
)
from botocore.tokens import SSOTokenProvider
from sources.fakes import MovableClock, in_a_thread

from triggerkit.aws.credentials import RenewableCredentials
from triggerkit.aws.sessions import Access, resolve_credentials
from triggerkit.core.locators import parse
from triggerkit.core.model import TRIM_HORIZON, Position, PositionKind, ShardId
from triggerkit.errors import CredentialsError, TriggerkitError
from triggerkit.ports import Services, ShardReader, Source
from triggerkit.sources import dynamodb

TRANSPORTS = ("fast", "botocore")
PATIENCE_SECONDS = 120.0


@pytest.fixture
def aws() -> Iterator[Guarded]:
    with guarded() as found:
        yield found


def enter(monkeypatch: pytest.MonkeyPatch, place: Place) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name, value in place.environment.items():
        monkeypatch.setenv(name, value)
    # botocore takes the home folder when it is imported
    cache = str(place.folder / ".aws" / "sso" / "cache")
    monkeypatch.setattr(SSOTokenProvider, "_SSO_TOKEN_CACHE_DIR", cache)


def opened(place: Place, transport: str, lent: Services) -> Source:
    text = f"dynamodb://{TABLE_NAME}?transport={transport}&endpoint_url={place.aws.url}"
    return dynamodb.open(parse(text + place.query), lent)


async def read(reader: ShardReader, after: Position, wanted: int) -> tuple[list[str], Position]:
    """So many records, and the position after the last one."""
    found: list[str] = []
    while len(found) < wanted:
        page = await reader.fetch(after, 100)
        for record in page.records:
            found.append(record.sequence_number)
            after = Position(PositionKind.AFTER, record.sequence_number)
    return found, after


def use(place: Place, transport: str, story: Callable[[Source], Coroutine[Any, Any, None]]) -> None:
    async def bounded() -> None:
        source = opened(place, transport, Services(in_a_thread, MovableClock()))
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await source.prepare()
                await story(source)
        finally:
            await source.close()

    asyncio.run(bounded())


async def until_answered(call: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Ask as the engine does: again after a moment, whatever was refused."""
    while True:
        try:
            return await call()
        except TriggerkitError:
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a3_credentials_that_rotate_are_picked_up_by_every_client(
    way: Way, transport: str, aws: Guarded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = laid_out(aws, tmp_path, way)
    enter(monkeypatch, place)

    async def story(source: Source) -> None:
        (first,) = (shard.id for shard in (await source.list_shards()).shards)
        reader = source.open(first)
        aws.write("a", "b")
        _, after = await read(reader, TRIM_HORIZON, 2)
        place.rotate()
        aws.write("c")
        _, after = await read(reader, after, 1)  # GetRecords
        place.rotate()
        aws.roll()
        aws.write("d")
        listing = await source.list_shards()  # ListStreams, DescribeTable, DescribeStream
        second = next(shard.id for shard in listing.shards if shard.id != first)
        place.rotate()
        assert [shard.id for shard in (await source.children(first)).shards] == [second]
        place.rotate()
        _, after = await read(source.open(second), TRIM_HORIZON, 1)  # GetShardIterator
        place.rotate()
        aws.write("e")
        await read(source.open(second), after, 1)

    use(place, transport, story)
    assert sum(aws.refused.values()) == 5  # one call in each rotation, and no other


def looks(place: Place) -> int:
    """How often the credential_process ran."""
    return len((place.folder / "process.log").read_text())


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a3_calls_in_flight_share_one_renewal(
    transport: str, aws: Guarded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = laid_out(aws, tmp_path, credential_process)
    enter(monkeypatch, place)

    async def story() -> None:
        lent = Services(in_a_thread, MovableClock())
        sources = [opened(place, transport, lent) for _ in range(3)]
        aws.write("a")
        for source in sources:
            await source.prepare()
        (shard,) = (each.id for each in (await sources[0].list_shards()).shards)
        before = looks(place)
        assert before == 1  # three sources of one account look once, too
        place.rotate()
        readings = [read(source.open(shard), TRIM_HORIZON, 1) for source in sources for _ in "ab"]
        listings = [source.children(shard) for source in sources for _ in "abcd"]
        async with asyncio.timeout(PATIENCE_SECONDS):
            await asyncio.gather(*readings, *listings)
        assert looks(place) == before + 1
        for source in sources:
            await source.close()

    asyncio.run(story())


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a3_new_credentials_that_come_late_are_picked_up_and_looked_for_at_a_bounded_rate(
    transport: str, aws: Guarded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = laid_out(aws, tmp_path, credential_process)
    enter(monkeypatch, place)

    async def story(source: Source) -> None:
        (shard,) = (each.id for each in (await source.list_shards()).shards)
        aws.write("a")
        _, after = await read(source.open(shard), TRIM_HORIZON, 1)
        before = looks(place)
        place.invalidate()
        aws.write("b")
        for ask in (lambda: source.open(shard).fetch(after, 10), lambda: source.children(shard)):
            for _ in range(10):
                with pytest.raises(CredentialsError) as told:
                    await ask()
                assert "credential_process still has the same credentials" in told.value.hint
                assert "picked up" in told.value.hint
        assert 1 <= looks(place) - before <= 3
        place.publish()
        page = await until_answered(lambda: source.open(shard).fetch(after, 10))
        assert len(page.records) == 1
        await source.children(shard)
        assert looks(place) - before <= 6

    use(place, transport, story)


def refused(source: Source, shard: ShardId) -> Callable[[], Coroutine[Any, Any, Any]]:
    return lambda: source.children(shard)


def test_a3_a_hint_never_asks_for_what_was_done(
    aws: Guarded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = laid_out(aws, tmp_path, credentials_file)
    enter(monkeypatch, place)

    async def story(source: Source) -> None:
        (shard,) = (each.id for each in (await source.list_shards()).shards)
        place.rotate()
        aws.accepted = {"nobody"}
        with pytest.raises(CredentialsError) as told:
            await source.children(shard)
        assert "new credentials were read from the shared credentials file" in told.value.hint
        assert "are refused too" in told.value.hint
        place.credentials.write_text("")
        with pytest.raises(CredentialsError) as told:
            await source.children(shard)
        assert "looking for new credentials failed: no AWS credentials" in told.value.hint

    use(place, "fast", story)


def test_a3_keys_of_the_environment_are_said_to_need_a_restart(
    aws: Guarded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(aws, tmp_path)
    enter(monkeypatch, place)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA0")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")

    async def story(source: Source) -> None:
        (shard,) = (each.id for each in (await source.list_shards()).shards)
        place.invalidate()
        for ask in (lambda: source.open(shard).fetch(TRIM_HORIZON, 1), refused(source, shard)):
            with pytest.raises(CredentialsError) as told:
                await ask()
            assert "restart it with new ones" in told.value.hint

    use(place, "fast", story)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(
    ("code", "most"),
    [("RequestTimeTooSkewed", 0), ("RequestExpired", 0), ("InvalidSignatureException", 1)],
)
def test_a3_a_wrong_clock_does_not_cause_renewals(
    code: str,
    most: int,
    transport: str,
    aws: Guarded,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = laid_out(aws, tmp_path, credential_process)
    enter(monkeypatch, place)

    async def story(source: Source) -> None:
        (shard,) = (each.id for each in (await source.list_shards()).shards)
        before = looks(place)
        aws.accepted, aws.code = {"nobody"}, code
        for ask in (lambda: source.open(shard).fetch(TRIM_HORIZON, 1), refused(source, shard)):
            for _ in range(10):
                with pytest.raises(CredentialsError, match=code) as told:
                    await ask()
                assert "clock" in told.value.hint
        assert looks(place) - before <= most

    use(place, transport, story)


def test_a3_a_credential_process_that_fails_once_is_asked_again(
    aws: Guarded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = laid_out(aws, tmp_path, credential_process)
    enter(monkeypatch, place)
    printed = place.folder / "printed.json"

    async def story(source: Source) -> None:
        (shard,) = (each.id for each in (await source.list_shards()).shards)
        place.invalidate()
        for broken in ("", "no JSON", '{"Version": 1}'):
            printed.write_text(broken)
            with pytest.raises(CredentialsError) as told:
                await source.children(shard)
            assert "looking for new credentials failed" in told.value.hint
        place.publish()
        await until_answered(refused(source, shard))

    use(place, "fast", story)


def test_a3_a_role_whose_session_ends_is_taken_with_the_callers_new_keys(
    aws: Guarded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session ends by itself: no request is refused, STS refuses the caller's old keys."""
    place = laid_out(aws, tmp_path, assumed_role)
    enter(monkeypatch, place)
    aws.lifetime_seconds = 300.0  # within botocore's window for renewing before the end
    access = Access(region="us-east-1", role_arn=ROLE, external_id="partner")
    now_seconds = [0.0]
    credentials = RenewableCredentials(lambda: resolve_credentials(access), lambda: now_seconds[0])
    assert credentials.keys().access_key == "ASIA1"
    place.rotate()
    assert credentials.keys().access_key == "ASIA1"
    now_seconds[0] += 10
    assert credentials.keys().access_key == "ASIA2"
    assert aws.refused["AssumeRole"] == 1
    place.invalidate()
    now_seconds[0] += 10
    for _ in range(5):
        with pytest.raises(CredentialsError, match="InvalidClientTokenId"):
            credentials.keys()
    assert aws.refused["AssumeRole"] == 3  # botocore asked and a new look was made, once each
    place.publish()
    now_seconds[0] += 10
    assert credentials.keys().access_key == "ASIA3"
