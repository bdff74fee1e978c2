"""What a source is called: streams that differ have names that differ, one stream has one name."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from emulator.kit import TABLE, stream_on
from sources.fakes import opened

from triggerkit.aws.endpoints import endpoint_name
from triggerkit.aws.sessions import Access
from triggerkit.emulator import Emulator, serve
from triggerkit.sources.dynamodb.service import StreamArn, name_of, parse_stream_arn

AWS = "https://streams.dynamodb.eu-west-1.amazonaws.com"
LOCAL = "http://localhost:8000"
LABEL = "2026-01-01T00:00:00.000"


def arn(
    region: str = "eu-west-1", account: str = "111122223333", table: str = "orders"
) -> StreamArn:
    return parse_stream_arn(f"arn:aws:dynamodb:{region}:{account}:table/{table}/stream/{LABEL}")


def name(arn: StreamArn, url: str = AWS, region: str = "eu-west-1", **access: str) -> str:
    return name_of(arn, Access(**access), region, url)


def test_a2_a_stream_of_aws_is_named_by_table_account_and_region() -> None:
    assert name(arn()) == "dynamodb/orders/111122223333/eu-west-1"
    # who reads it and through which of AWS's endpoints makes no other stream of it
    assert name(arn(), profile="p", role_arn="arn:aws:iam::1:role/r") == name(arn())
    assert name(arn(), "https://vpce-1.streams.dynamodb.eu-west-1.vpce.amazonaws.com") == name(
        arn()
    )
    assert name(arn(), "https://streams-dynamodb.eu-west-1.api.aws") == name(arn())


def test_a2_all_that_makes_two_streams_different_is_in_their_names() -> None:
    nowhere = arn(account="000000000000")
    local = arn(account="000000000000", region="ddblocal")
    names = [
        name(arn()),
        name(arn(table="other")),
        name(arn(account="444455556666")),
        name(arn(region="eu-west-2")),
        name(arn(), LOCAL),
        name(nowhere, LOCAL),
        name(nowhere, "http://localhost:9000"),
        name(nowhere, "http://127.0.0.1:8000"),
        name(nowhere, "http://[::1]:8000"),
        name(nowhere, "http://localhost/first"),
        name(nowhere, "http://localhost/second"),
        name(nowhere, LOCAL, profile="a"),
        name(nowhere, LOCAL, profile="b"),
        name(nowhere, LOCAL, role_arn="arn:aws:iam::1:role/a"),
        name(nowhere, LOCAL, role_arn="arn:aws:iam::2:role/a"),
        name(nowhere, LOCAL, role_arn="arn:aws:iam::1:role/path/a"),
        name(local, LOCAL, region="eu-central-1"),
        name(local, LOCAL, region="us-east-1"),
        name(nowhere, LOCAL, endpoint_name="dev"),
    ]
    for one, other in pairwise(sorted(names)):
        assert one != other
    assert not [each for each in names if ":" in each]


def test_a2_spellings_of_one_endpoint_have_one_name() -> None:
    assert endpoint_name("http://localhost:8000") == "localhost_8000"
    for url in (
        "http://LOCALHOST:8000/",
        "http://user:secret@localhost:8000",
        "http://localhost.:8000",
    ):
        assert endpoint_name(url) == "localhost_8000"
    assert endpoint_name("http://h") == endpoint_name("http://h:80/") == "h_80"
    assert endpoint_name("https://h") == "h_443"
    assert endpoint_name("http://[::1]:1") == endpoint_name("http://[0:0:0:0:0:0:0:1]:1") == "__1_1"


def test_a2_under_dev_the_port_is_no_part_of_the_name() -> None:
    first, second = (
        name(arn(), f"http://127.0.0.1:{port}", endpoint_name="dev") for port in (1, 2)
    )
    assert first == second == "dynamodb/orders/111122223333/eu-west-1/dev"


@pytest.mark.parametrize("key", ["", "?region=us-east-1", "?transport=botocore"])
def test_a2_a_table_and_its_arn_are_one_source_and_one_stream_of_it_is_another(key: str) -> None:
    async def story() -> None:
        emulator = Emulator()
        made = emulator.call("CreateTable", {**TABLE, **stream_on()})["TableDescription"]
        with serve(emulator) as server:
            table = f"dynamodb://{TABLE['TableName']}{key}"
            locators = (table, made["TableArn"], made["LatestStreamArn"], made["LatestStreamArn"])
            sources = [opened(text, endpoint_url=server.endpoint_url) for text in locators]
            for source in sources:
                await source.prepare()
            assert len({source.name for source in sources}) == 1
            by_name, by_arn, stream, again = (source.identity for source in sources)
            assert by_name == by_arn != stream == again
            for source in sources:
                await source.close()

    asyncio.run(story())
