"""One worker at a time, started anew by changes: in process, with workers that do as they are told."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from triggerkit.dev.reload import WAITS_FOR_CHANGE, Reloader, watched
from triggerkit.runtime.logs import LogSettings, configure_logging

PATIENCE_SECONDS = 120.0
APP = (Path("app.py"),)


class Worker:
    """Ends when the test says so, or when it is asked and `obeys`."""

    def __init__(self, obeys: bool = True) -> None:
        self.obeys = obeys
        self.asked: list[str] = []
        self._code: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    @property
    def alive(self) -> bool:
        return not self._code.done()

    async def wait(self) -> int:
        return await asyncio.shield(self._code)

    def end(self, code: int) -> None:
        if self.alive:
            self._code.set_result(code)

    def stop(self) -> None:
        self.asked.append("stop")
        if self.obeys:
            self.end(0)

    def kill(self) -> None:
        self.asked.append("kill")
        self.end(-9)


class Stage:
    """Starts workers and makes changes."""

    def __init__(self, obeys: bool = True, drain_seconds: float = PATIENCE_SECONDS) -> None:
        self.workers: list[Worker] = []
        self.obeys = obeys
        self._changes: asyncio.Queue[Sequence[Path] | None] = asyncio.Queue()
        self.reloader = Reloader(self._start, self._told(), drain_seconds)
        self.running = asyncio.ensure_future(self.reloader.run())

    async def _start(self) -> Worker:
        assert not any(worker.alive for worker in self.workers), "two workers at a time"
        self.workers.append(Worker(self.obeys))
        return self.workers[-1]

    async def _told(self) -> AsyncIterator[Sequence[Path]]:
        while (change := await self._changes.get()) is not None:
            yield change

    def change(self) -> None:
        self._changes.put_nowait(APP)

    def no_more_changes(self) -> None:
        self._changes.put_nowait(None)

    async def until(self, reached: Callable[[], bool]) -> None:
        while not reached():
            await asyncio.sleep(0.001)

    async def started(self, count: int) -> Worker:
        await self.until(lambda: len(self.workers) == count)
        return self.workers[-1]


def play(scene: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await scene()

    asyncio.run(limited())


def test_a_change_drains_the_worker_and_starts_another() -> None:
    async def scene() -> None:
        stage = Stage()
        first = await stage.started(1)
        stage.change()
        second = await stage.started(2)
        assert first.asked == ["stop"]
        stage.reloader.stop()
        assert await stage.running == 0
        assert second.asked == ["stop"]

    play(scene)


def test_a_worker_that_does_not_end_is_killed_and_another_starts() -> None:
    async def scene() -> None:
        stage = Stage(obeys=False, drain_seconds=0.01)
        first = await stage.started(1)
        stage.change()
        await stage.started(2)
        assert first.asked == ["stop", "kill"]
        stage.reloader.stop()
        assert await stage.running == 14  # the second one does not end either

    play(scene)


@pytest.mark.parametrize("code", [WAITS_FOR_CHANGE])
def test_a_first_worker_whose_code_is_wrong_waits_for_a_change(code: int) -> None:
    async def scene() -> None:
        stage = Stage()
        (await stage.started(1)).end(code)
        stage.change()
        await stage.started(2)
        stage.reloader.stop()
        assert await stage.running == 0

    play(scene)


@pytest.mark.parametrize("code", [1, 2, 3, 5])
def test_a_first_worker_that_cannot_start_ends_all_with_its_code(code: int) -> None:
    async def scene() -> None:
        stage = Stage()
        (await stage.started(1)).end(code)
        assert await stage.running == code

    play(scene)


@pytest.mark.parametrize("code", [0, 1, 2, -9, 130])
def test_a_worker_that_has_read_ends_nothing_but_itself(
    code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("triggerkit.dev.reload.STOP_NOTICE_SECONDS", 0.01)

    async def scene() -> None:
        stage = Stage()
        worker = await stage.started(1)
        stage.reloader.worker_is_ready()
        worker.end(code)
        stage.change()
        await stage.started(2)
        stage.reloader.stop()
        assert await stage.running == 0

    play(scene)


def test_a_stop_while_it_waits_for_a_change_ends_it() -> None:
    async def scene() -> None:
        stage = Stage()
        (await stage.started(1)).end(WAITS_FOR_CHANGE)
        await asyncio.sleep(0)
        stage.reloader.stop()
        assert await stage.running == 0
        assert len(stage.workers) == 1

    play(scene)


def test_a_worker_that_heard_of_ctrl_c_first_is_no_surprise() -> None:
    async def scene() -> None:
        stage = Stage()
        worker = await stage.started(1)
        stage.reloader.worker_is_ready()
        worker.end(0)
        await asyncio.sleep(0.01)
        stage.reloader.stop()
        assert await stage.running == 0

    play(scene)


@pytest.mark.parametrize(("code", "whole"), [(0, 0), (12, 12), (WAITS_FOR_CHANGE, 2), (-9, 1)])
def test_f5_without_changes_the_end_of_the_worker_is_the_end(
    code: int, whole: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("triggerkit.dev.reload.STOP_NOTICE_SECONDS", 0.01)

    async def scene() -> None:
        stage = Stage()
        stage.no_more_changes()
        (await stage.started(1)).end(code)
        assert await stage.running == whole

    play(scene)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (-9, "killed by signal 9 (SIGKILL)"),
        (-11, "killed by signal 11 (SIGSEGV)"),
        (WAITS_FOR_CHANGE, "its code failed"),
    ],
)
def test_f5_a_worker_that_has_ended_is_told_in_words(
    code: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("triggerkit.dev.reload.STOP_NOTICE_SECONDS", 0.01)

    async def scene() -> None:
        log = io.StringIO()
        restore = configure_logging(LogSettings(format="json"), log)
        try:
            stage = Stage()
            (await stage.started(1)).end(code)
            await stage.until(lambda: "\n" in log.getvalue())
        finally:
            restore()
        told = json.loads(log.getvalue())
        assert (words in told["message"], words in told["ending"]) == (True, True)
        assert code not in told.values()
        stage.reloader.stop()
        assert await stage.running == 0

    play(scene)


@pytest.mark.parametrize("obeys", [True, False])
def test_b10_a_worker_that_does_not_drain_in_its_time_is_the_exit_code(obeys: bool) -> None:
    async def scene() -> None:
        stage = Stage(obeys=False, drain_seconds=PATIENCE_SECONDS if obeys else 0.01)
        worker = await stage.started(1)
        stage.reloader.stop()
        await stage.until(lambda: "stop" in worker.asked)
        if obeys:
            worker.end(14)
        assert await stage.running == 14

    play(scene)


def test_changes_during_a_drain_start_another_once_more() -> None:
    async def scene() -> None:
        stage = Stage(obeys=False)
        first = await stage.started(1)
        stage.change()
        await stage.until(lambda: first.asked == ["stop"])
        stage.change()
        stage.obeys = True
        first.end(0)
        await stage.started(3)
        stage.reloader.stop()
        assert await stage.running == 0

    play(scene)


def test_a_cancelled_run_leaves_no_worker() -> None:
    async def scene() -> None:
        stage = Stage(obeys=False)
        worker = await stage.started(1)
        await asyncio.sleep(0)
        stage.running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stage.running
        assert not worker.alive

    play(scene)


def test_python_files_and_the_configuration_are_watched(tmp_path: Path) -> None:
    async def scene() -> None:
        (tmp_path / ".venv").mkdir()
        file = tmp_path / "triggerkit.toml"
        changes = watched([tmp_path], [file])
        seen: set[str] = set()

        async def look() -> None:
            async for change in changes:
                seen.update(path.name for path in change)
                if {"app.py", "triggerkit.toml"} <= seen:
                    return

        looking = asyncio.ensure_future(look())
        number = 0
        while not looking.done():
            number += 1
            for name in ("app.py", "triggerkit.toml", "notes.txt", ".venv/lib.py", "x.toml"):
                (tmp_path / name).write_text(f"# {number}\n")
            await asyncio.sleep(0.05)
        await looking
        await changes.aclose()  # type: ignore[attr-defined]
        assert seen == {"app.py", "triggerkit.toml"}

    play(scene)


def test_a_folder_that_is_gone_is_said_and_ends_the_watching(tmp_path: Path) -> None:
    async def scene() -> None:
        assert [change async for change in watched([tmp_path / "none"], [])] == []

    play(scene)
