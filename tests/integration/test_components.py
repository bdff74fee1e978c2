"""The real components start, answer and come back after a kill."""

from __future__ import annotations

from pathlib import Path

import pytest
from components import DynamoDBLocal, running_dynamodb_local

TABLE = {
    "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
    "BillingMode": "PAY_PER_REQUEST",
}


@pytest.mark.real
def test_dynamodb_local_answers_a_boto3_client(dynamodb_local: DynamoDBLocal) -> None:
    client = dynamodb_local.client("dynamodb")
    client.create_table(TableName="components_answer", **TABLE)
    assert "components_answer" in client.list_tables()["TableNames"]
    client.delete_table(TableName="components_answer")


@pytest.mark.real
def test_dynamodb_local_on_disk_keeps_its_items_over_a_kill(tmp_path: Path) -> None:
    with running_dynamodb_local(tmp_path) as server:
        client = server.client("dynamodb")
        client.create_table(TableName="kept", **TABLE)
        client.put_item(TableName="kept", Item={"pk": {"S": "a"}})
        server.kill()
        server.start()
        assert client.get_item(TableName="kept", Key={"pk": {"S": "a"}})["Item"] == {
            "pk": {"S": "a"}
        }
