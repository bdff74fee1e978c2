"""The registry: an adapter is found by its scheme, alone, or the known schemes are told."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from triggerkit import registry
from triggerkit.core.locators import parse
from triggerkit.core.model import Now
from triggerkit.errors import LocatorError
from triggerkit.ports import Services


class StoppedClock:
    def now(self) -> Now:
        return Now(0.0, 0.0)

    def observe_service_time(self, service_seconds: float) -> None:
        """Learn nothing."""


async def inline(call):  # type: ignore[no-untyped-def]
    return call()


SERVICES = Services(run=inline, clock=StoppedClock())


@pytest.fixture
def third_party(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An installed package with an adapter of its own and a broken one."""
    installed = tmp_path / "third-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: third\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text(
        "[triggerkit.sources]\nthird = third_adapter:open\nbroken = not_there_at_all:open\n"
        "[triggerkit.lease_stores]\nthird = third_adapter:open\nmemory = third_adapter:open\n"
        "[triggerkit.destinations]\nthird = third_adapter:open\nempty = third_adapter:nothing\n"
    )
    (tmp_path / "third_adapter.py").write_text("def open(*given):\n    return given\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("third_adapter", None)


@pytest.mark.usefixtures("third_party")
def test_an_adapter_of_another_package_is_opened_with_locator_and_services() -> None:
    locator = parse("third://x")
    for opening in (registry.open_source, registry.open_lease_store, registry.open_destination):
        opened: object = opening(locator, SERVICES)
        assert opened == (locator, SERVICES)
    assert "third" in registry.schemes("sources")


def test_an_unknown_scheme_is_told_with_the_nearest_one() -> None:
    with pytest.raises(LocatorError) as caught:
        registry.open_source(parse("dynamobd://orders"), SERVICES)
    assert "'dynamobd://orders': no source has the scheme 'dynamobd'" in caught.value.message
    assert caught.value.hint == "did you mean dynamodb?"


def test_a_scheme_like_no_other_gets_all_of_them() -> None:
    with pytest.raises(LocatorError, match="no state has the scheme 'postgres'") as caught:
        registry.open_lease_store(parse("postgres://x"), SERVICES)
    assert caught.value.hint == "known: memory, sqlite"
    with pytest.raises(LocatorError, match="no on_failure destination has the scheme 'kafka'"):
        registry.open_destination(parse("kafka://x"), SERVICES)


@pytest.mark.usefixtures("third_party")
def test_an_adapter_that_cannot_be_imported_is_named_with_its_package() -> None:
    with pytest.raises(LocatorError, match="not_there_at_all:open cannot be imported") as caught:
        registry.open_source(parse("broken://x"), SERVICES)
    assert "(third)" in caught.value.hint
    with pytest.raises(LocatorError, match="third_adapter:nothing cannot be imported"):
        registry.open_destination(parse("empty://x"), SERVICES)


@pytest.mark.usefixtures("third_party")
def test_two_packages_with_one_scheme_are_refused() -> None:
    with pytest.raises(LocatorError, match="more than one state has the scheme 'memory'") as caught:
        registry.open_lease_store(parse("memory:"), SERVICES)
    assert "(third)" in caught.value.message


def test_every_scheme_of_the_package_can_be_listed() -> None:
    assert "dynamodb" in registry.schemes("sources")
    assert {"memory", "sqlite"} <= set(registry.schemes("lease_stores"))
    assert "file" in registry.schemes("destinations")


def test_opening_one_adapter_loads_no_other() -> None:
    code = (
        "import sys\n"
        "from triggerkit import registry\n"
        "registry.open_source\n"
        "loaded = {m for m in sys.modules if m.startswith('triggerkit.')}\n"
        "assert not any(m.split('.')[1] in {'sources', 'destinations', 'lease_stores', 'invokers'}"
        " for m in loaded), loaded\n"
        "from triggerkit.core.locators import parse\n"
        "try: registry.open_destination(parse('nothing://x'), None)\n"
        "except Exception: pass\n"
        "assert 'boto3' not in sys.modules and 'httptools' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
