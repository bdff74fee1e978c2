"""Tables and their streams: CreateTable, DescribeTable, UpdateTable, DeleteTable, ListTables.

A change of a table is done when the call returns. A table without its stream keeps the old stream's ARN, and the
stream outlives the table.
Source: DynamoDB API reference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from triggerkit.emulator.errors import EmulatorError, invalid_parameter, validation
from triggerkit.emulator.indexes import projected
from triggerkit.emulator.keys import described_table
from triggerkit.emulator.model import Billing, Table
from triggerkit.emulator.requests import (
    Request,
    chosen,
    flag,
    missing,
    optional_list,
    optional_map,
    optional_text,
    positive,
    table_name,
    violated,
)
from triggerkit.emulator.schema import GLOBAL, LOCAL, UPDATES, read_schema, updated_indexes
from triggerkit.emulator.site import Site
from triggerkit.emulator.sizes import item_size_bytes

VIEW_TYPES = ("NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES", "KEYS_ONLY")
BILLING_MODES = ("PROVISIONED", "PAY_PER_REQUEST")
MAX_LISTED = 100
_ABSENT_FEATURES = ("ReplicaUpdates",)


@dataclass(frozen=True, slots=True)
class TablesApi:
    """The control plane of one site's tables."""

    site: Site

    def operations(self) -> dict[str, Callable[[Request], dict[str, Any]]]:
        """Return the operations by name."""
        return {
            "CreateTable": self.create_table,
            "DescribeTable": self.describe_table,
            "UpdateTable": self.update_table,
            "DeleteTable": self.delete_table,
            "ListTables": self.list_tables,
        }

    def create_table(self, request: Request) -> dict[str, Any]:
        """Answer CreateTable; the table is ACTIVE at once."""
        name = table_name(request)
        _refuse_features(request)
        billing = _billing(request, "PROVISIONED")
        keys = read_schema(request, billing.mode)
        view_type = _stream_view(request)
        if self.site.store.table(name) is not None:
            raise EmulatorError("ResourceInUseException", f"Table already exists: {name}")
        now_seconds = self.site.clock.now_seconds()
        digest = self.site.digest(name, now_seconds)
        table = Table(
            name=name,
            table_id="-".join(
                (digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:])
            ),
            arn=self.site.table_arn(name),
            created_seconds=now_seconds,
            hash_key=keys.hash_key,
            sort_key=keys.sort_key,
            key_types=dict(keys.types),
            billing=billing,
            deletion_protected=flag(request, "DeletionProtectionEnabled"),
            indexes=list(keys.indexes),
        )
        if view_type is not None:
            self.site.begin_stream(table, view_type)
        self.site.store.save_table(table)
        return {"TableDescription": self._described(table)}

    def describe_table(self, request: Request) -> dict[str, Any]:
        """Answer DescribeTable."""
        return {"Table": self._described(described_table(self.site, request))}

    def update_table(self, request: Request) -> dict[str, Any]:
        """Answer UpdateTable: stream, capacity, indexes and deletion protection."""
        table = described_table(self.site, request)
        _refuse_features(request)
        members = (
            "StreamSpecification",
            "BillingMode",
            "ProvisionedThroughput",
            "DeletionProtectionEnabled",
            UPDATES,
        )
        if all(request.get(member) in (None, []) for member in members):
            raise validation(
                "At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled, "
                "GlobalSecondaryIndexUpdates or SSESpecification or ReplicaUpdates is required"
            )
        types = dict(table.key_types)
        indexes = updated_indexes(request, table.indexes, types, table.billing.mode)
        if request.get("StreamSpecification") is not None:
            self._switch_stream(table, request)
        if request.get("BillingMode") is not None or request.get("ProvisionedThroughput"):
            table.billing = _billing(request, table.billing.mode)
        if request.get("DeletionProtectionEnabled") is not None:
            table.deletion_protected = flag(request, "DeletionProtectionEnabled")
        table.indexes = indexes
        used = {*table.key_names(), *(name for each in indexes for name in each.key_names())}
        table.key_types = {name: kind for name, kind in types.items() if name in used}
        self.site.store.save_table(table)
        return {"TableDescription": self._described(table)}

    def delete_table(self, request: Request) -> dict[str, Any]:
        """Answer DeleteTable; the stream is disabled and stays readable."""
        table = described_table(self.site, request)
        if table.deletion_protected:
            raise validation(
                "Resource cannot be deleted as it is currently protected against deletion. "
                "Disable deletion protection first."
            )
        description = {**self._described(table), "TableStatus": "DELETING"}
        self.site.end_stream(table)
        self.site.store.drop_table(table.name)
        return {"TableDescription": description}

    def list_tables(self, request: Request) -> dict[str, Any]:
        """Answer ListTables."""
        limit = positive(request, "Limit") or MAX_LISTED
        if limit > MAX_LISTED:
            raise violated(limit, "Limit", "Member must have value less than or equal to 100")
        start = optional_text(request, "ExclusiveStartTableName") or ""
        names = [table.name for table in self.site.store.tables() if table.name > start]
        answer: dict[str, Any] = {"TableNames": names[:limit]}
        if len(names) > limit:
            answer["LastEvaluatedTableName"] = names[limit - 1]
        return answer

    def _switch_stream(self, table: Table, request: Request) -> None:
        view_type = _stream_view(request)
        running = self.site.current_stream(table)
        if view_type is None:
            if running is None:
                raise validation(f"Table has no stream to disable: TableName: {table.name}")
            self.site.end_stream(table)
        else:
            if running is not None:
                raise validation(f"Table already has an enabled stream: TableName: {table.name}")
            self.site.begin_stream(table, view_type)

    def _described(self, table: Table) -> dict[str, Any]:
        items = [item for _, item in self.site.store.items(table.name)]
        description: dict[str, Any] = {
            "AttributeDefinitions": [
                {"AttributeName": name, "AttributeType": kind}
                for name, kind in table.key_types.items()
            ],
            "TableName": table.name,
            "KeySchema": table.key_schema(),
            "TableStatus": "ACTIVE",
            "CreationDateTime": table.created_seconds,
            "ProvisionedThroughput": {
                "NumberOfDecreasesToday": 0,
                "ReadCapacityUnits": table.billing.read_units,
                "WriteCapacityUnits": table.billing.write_units,
            },
            "TableSizeBytes": sum(map(item_size_bytes, items)),
            "ItemCount": len(items),
            "TableArn": table.arn,
            "TableId": table.table_id,
            "DeletionProtectionEnabled": table.deletion_protected,
        }
        if table.billing.mode == "PAY_PER_REQUEST":
            description["BillingModeSummary"] = {
                "BillingMode": table.billing.mode,
                "LastUpdateToPayPerRequestDateTime": table.created_seconds,
            }
        if table.stream_arn is not None:
            description["LatestStreamArn"] = table.stream_arn
            description["LatestStreamLabel"] = table.stream_arn.rpartition("/")[2]
        description |= self._described_indexes(table)
        stream = self.site.current_stream(table)
        if stream is not None:
            description["StreamSpecification"] = {
                "StreamEnabled": True,
                "StreamViewType": stream.view_type,
            }
        return description

    def _described_indexes(self, table: Table) -> dict[str, Any]:
        described: dict[str, Any] = {}
        for index in table.indexes:
            names = index.projected_names(table.key_names())
            sizes = [
                item_size_bytes(projected(item, names))
                for item in self.site.store.indexed(table.name, index.name, None)
            ]
            described.setdefault(LOCAL if index.is_local else GLOBAL, []).append(
                index.described(table.arn, sizes)
            )
        return described


def _stream_view(request: Request) -> str | None:
    """Return the view type that a StreamSpecification asks for, None for no stream."""
    asked = optional_map(request, "StreamSpecification")
    if asked is None:
        return None
    if asked.get("StreamEnabled") is None:
        raise missing("streamSpecification.streamEnabled")
    view_type = chosen(asked, "StreamViewType", VIEW_TYPES)
    if not flag(asked, "StreamEnabled"):
        if view_type is not None:
            raise validation(
                "Invalid StreamViewType: Stream StreamEnabled was false but a StreamViewType was "
                "present."
            )
        return None
    if view_type is None:
        raise validation(
            "Invalid StreamViewType: Stream ViewType must not be null or empty when enabling "
            "streams."
        )
    return view_type


def _billing(request: Request, current_mode: str) -> Billing:
    mode = chosen(request, "BillingMode", BILLING_MODES) or current_mode
    units = optional_map(request, "ProvisionedThroughput")
    if mode == "PAY_PER_REQUEST":
        if units is not None:
            raise invalid_parameter(
                "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when "
                "BillingMode is PAY_PER_REQUEST"
            )
        return Billing(mode, 0, 0)
    if units is None:
        raise invalid_parameter(
            "ReadCapacityUnits and WriteCapacityUnits "
            "must both be specified when BillingMode is PROVISIONED"
        )
    return Billing(mode, _units(units, "ReadCapacityUnits"), _units(units, "WriteCapacityUnits"))


def _units(units: Mapping[str, Any], member: str) -> int:
    count = positive(units, member)
    if count is None:
        raise missing(f"provisionedThroughput.{member}")
    return count


def _refuse_features(request: Request) -> None:
    for member in _ABSENT_FEATURES:
        if optional_list(request, member):
            raise validation(
                f"The embedded endpoint of triggerkit does not have {member}; use DynamoDB Local or "
                "AWS for it"
            )
