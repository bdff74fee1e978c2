"""What typed handlers get: values that can be matched, compared and made in a test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime
from typing import Any

import pytest

from triggerkit.core.changes import Batch, Change, Differences, Inserted, Modified, Removed

AT = datetime(2026, 1, 31, tzinfo=UTC)
EXPIRED = {"userIdentity": {"type": "Service", "principalId": "dynamodb.amazonaws.com"}}


class TwoTexts:
    """Images that are texts."""

    new = "new"
    old = "old"

    def changed(self, paths: Sequence[str]) -> bool:
        return "status" in paths

    def differences(self) -> Differences:
        return {"status": {"old": "old", "new": "new"}}


def change(kind: type[Any], **raw: Any) -> Any:
    return kind({"id": "1"}, AT, "event", "7", "shard", raw, TwoTexts())


@pytest.mark.parametrize(
    ("kind", "images"),
    [(Inserted, ("new", None)), (Modified, ("new", "old")), (Removed, (None, "old"))],
)
def test_a_change_has_the_images_of_its_kind(kind: type[Any], images: tuple[object, ...]) -> None:
    made = change(kind)
    assert (made.new, made.old) == images
    assert (made.changed("status"), made.changed("other")) == (True, False)
    assert made.diff() == {"status": {"old": "old", "new": "new"}}


def test_a_match_over_the_three_kinds_binds_the_image() -> None:
    def told(given: Change[str]) -> str:
        match given:
            case Inserted(new=text) | Modified(new=text):
                return text
            case Removed(old=text):
                return text

    assert [told(change(kind)) for kind in (Inserted, Modified, Removed)] == ["new", "new", "old"]


@pytest.mark.parametrize(
    ("raw", "expired"),
    [
        (EXPIRED, True),
        ({}, False),
        ({"userIdentity": None}, False),
        ({"userIdentity": {"type": "Service", "principalId": "other.amazonaws.com"}}, False),
    ],
)
def test_a_removal_by_time_to_live_is_known_by_its_identity(
    raw: dict[str, Any], expired: bool
) -> None:
    assert change(Removed, **raw).expired is expired


def test_a_change_is_frozen_and_shows_no_image() -> None:
    made = change(Modified, secret="image")
    with pytest.raises(FrozenInstanceError):
        made.keys = {}
    assert "image" not in repr(made)
    assert "'id': '1'" in repr(made)


def test_changes_are_told_apart_by_identity_so_that_a_batch_can_name_one() -> None:
    assert change(Inserted) != change(Inserted)
    assert len({change(Inserted), change(Inserted)}) == 2


def test_a_batch_is_a_sequence() -> None:
    items = [change(Inserted), change(Modified), change(Removed)]
    batch = Batch(items)
    assert (len(batch), batch[0], batch[-1]) == (3, items[0], items[2])
    assert list(batch) == items
    assert list(batch[1:]) == items[1:]
    assert items[1] in batch
    assert batch.index(items[1]) == 1
    assert repr(batch) == "Batch(3 items)"
    assert not Batch(())


def test_a_batch_keeps_what_failed_in_its_own_order() -> None:
    items = ["a", "b", "c"]
    batch = Batch(items)
    error = ValueError("no")
    batch.fail(items[2])
    batch.fail(items[0], error)
    assert list(batch.failed.items()) == [(0, error), (2, None)]


def test_only_an_item_of_the_batch_can_fail() -> None:
    batch = Batch([change(Inserted)])
    with pytest.raises(ValueError, match="not of this batch"):
        batch.fail(change(Inserted))
