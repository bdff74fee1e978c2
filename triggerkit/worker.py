"""`Worker`: the runtime inside a program of your own, such as a web service, a script or a test."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Literal, Self, TypeAlias, Unpack, get_type_hints

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict  # pydantic reads those of Python 3.12 and later only

from triggerkit.configuration import Configuration, load_configuration
from triggerkit.core.events import Draining, Event, Observer
from triggerkit.core.options import OPTION_NAMES
from triggerkit.core.snapshot import MappingSnapshot
from triggerkit.errors import (
    ImplicitStateError,
    NoTriggersError,
    TriggerkitError,
    UsageError,
    nearest,
)
from triggerkit.invokers.environment import offered
from triggerkit.runtime.clock import SystemClock
from triggerkit.runtime.counts import Counts
from triggerkit.runtime.handlers import callable_of, variables_of
from triggerkit.runtime.logs import (
    LogSettings,
    configure_logging,
    get_logger,
    own_streams,
)
from triggerkit.runtime.process import announce, log_ready, log_stopped, worker_pools
from triggerkit.runtime.worker import DRAIN_TIMEOUT_SECONDS, RunFlags, RunningWorker
from triggerkit.settings import (
    DEFAULT_STATE,
    Flags,
    Settings,
    build_settings,
    container_sign,
    refuse_implicit_state,
)
from triggerkit.triggers import Triggers

__all__ = ["Worker", "WorkerFlags", "WorkerSnapshot", "WorkerState"]

log = get_logger()

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_ANSWER_CHECK_SECONDS = 0.1
ACCESS_KEYS = ("profile", "region", "endpoint_url")
"""The flags that locators fall back to."""
Text: TypeAlias = Annotated[str, Field(min_length=1)]
Seconds: TypeAlias = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@with_config(ConfigDict(strict=True, extra="forbid"))
class WorkerFlags(TypedDict, total=False):
    """The flags of `triggerkit run` that make sense in a program; each means the same as there."""

    drain_timeout: Annotated[Seconds, "seconds for running handlers at a stop, 25 by default"]
    burst: Annotated[bool, "True: read to the tip of every stream, save, and end; for `run()` only"]
    accept_orphaned: Annotated[
        Sequence[str], "a list of names in the state that the code has no more"
    ]
    config: Annotated[
        str | os.PathLike[str] | None, "the path of the configuration file; else none is read"
    ]
    profile: Annotated[Text | None, "the AWS profile, for locators that name none"]
    region: Annotated[Text | None, "the AWS Region, for locators that name none"]
    endpoint_url: Annotated[Text | None, "another endpoint, for locators that name none"]
    log_records: Annotated[
        Literal["none", "keys", "full"],
        "what the log of a failed call shows of its records: none, keys or full",
    ]
    log_level: Annotated[
        Literal["debug", "info", "warning", "error", "critical"],
        "the least level that `run()` writes: debug, info, warning, error or critical",
    ]
    log_format: Annotated[
        Literal["auto", "pretty", "json"], "how `run()` writes its log: auto, pretty or json"
    ]


class WorkerState(Enum):
    """Where a worker is in its life."""

    NEW = "new"
    STARTING = "starting"
    RUNNING = "running"
    DRAINING = "draining"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class WorkerSnapshot:
    """One moment of a worker. Ids, counts and positions; no item contents.

    `mappings` are by `trigger:source`; empty until the worker runs. `counts` is what was done since this
    start. `error` is what ended it, where the state is FAILED.
    """

    state: WorkerState
    app: str = ""
    env: str = ""
    mappings: Mapping[str, MappingSnapshot] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)
    error: BaseException | None = None


class Worker:
    """Runs triggers in your process, as `triggerkit run` does.

    `run()` blocks a script until it is stopped. `async with Worker(...)` runs beside your program, on a thread and
    an event loop of its own, so that neither holds up the other; handlers run on their own threads as always. A
    worker that has ended may be started again.

    Args:
        triggers: one group or several. They may get more triggers until the start.
        state: where positions are kept; as for `run`, a SQLite file below the current folder by default.
        app: the application, under whose name state is kept; the group's name by default.
        env: the environment; part of that name, and the overlay of the configuration.
        observers: called with every event of `triggerkit.events`, on the worker's thread.
        flags: see `WorkerFlags`.

    Raises:
        UsageError: a flag or an argument that cannot be used.
    """

    def __init__(
        self,
        *triggers: Triggers[Any],
        state: str = DEFAULT_STATE,
        app: str = "",
        env: str = "",
        observers: Sequence[Observer] = (),
        **flags: Unpack[WorkerFlags],
    ) -> None:
        for group in triggers:
            if not isinstance(group, Triggers):
                raise UsageError(
                    f"Worker({group!r}): not a Triggers", hint="give it Triggers objects"
                )
        for observer in observers:
            if not callable(observer):
                raise UsageError(
                    f"Worker(observers=...): {observer!r} cannot be called",
                    hint="an observer is a function of one event",
                )
        for name, text in (("state", state), ("app", app), ("env", env)):
            if not isinstance(text, str):
                raise UsageError(f"Worker({name}={text!r}): not a text", hint="write it in quotes")
        self._triggers = triggers
        self._state = state
        self._app = app
        self._env = env
        self._observers = tuple(observers)
        _check_flags(flags)
        self._flags = flags
        self._life: _Life | None = None

    def run(self) -> None:
        """Run until SIGINT, SIGTERM or `stop()`, or with `burst` to the tip of every stream; then drain.

        A second signal ends at once: a second Ctrl-C raises KeyboardInterrupt here. On another thread than the
        main one signals are left alone. While it runs, what handlers print becomes log lines, and Lambda's
        environment variables are set where nobody has set them.

        Raises:
            UsageError: an event loop runs on this thread, or the worker runs already.
            TriggerkitError: the start failed: nothing was read, and what was opened is closed again.
            Exception: an invariant broke; the worker has ended.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            raise UsageError(
                "Worker.run() would block the event loop that runs here",
                hint="write: async with Worker(...)",
            )
        life = self._begin()
        settings, flags = life.settings, self._flags
        logged = {key: text for key, text in (("app", settings.app), ("env", settings.env)) if text}
        restore_log = configure_logging(
            LogSettings(
                flags.get("log_format", "auto"),
                flags.get("log_level", "info"),
                live=True,
                fields=logged,
            ),
            sys.stderr,
        )
        try:
            offered.offer(variables_of(settings.mappings, settings.app), os.environ)
            announce(settings.mappings, settings)
            life.on_ready = lambda: log_ready(settings, burst=flags.get("burst", False))
            with own_streams(), _given_back_signals():
                life.live(_stop_on_signals)
            if life.error is not None:
                raise life.error
            log_stopped(life.counts)
        finally:
            offered.withdraw(os.environ)
            restore_log()

    def stop(self) -> None:
        """Drain and release, and let `run()` return; from any thread, also from a handler. Does not wait."""
        if self._life is not None:
            self._life.stop()

    def snapshot(self) -> WorkerSnapshot:
        """What the worker does at this moment; from any thread."""
        if self._life is None:
            return WorkerSnapshot(WorkerState.NEW, self._app, self._env)
        return self._life.snapshot()

    async def __aenter__(self) -> Self:
        """Start, and come back once it reads.

        Raises:
            UsageError: it runs already, or it has the flag `burst`.
            TriggerkitError: the start failed: nothing was read, and what was opened is closed again.
        """
        if self._flags.get("burst"):
            raise UsageError(
                "Worker(burst=True) ends by itself and cannot run beside a program",
                hint="call run(), on a thread if need be: await asyncio.to_thread(worker.run)",
            )
        life = self._begin()
        threading.Thread(target=life.live, name="triggerkit-worker", daemon=True).start()
        ready, ended = asyncio.wrap_future(life.ready), asyncio.wrap_future(life.ended)
        try:
            await asyncio.wait({ready, ended}, return_when=asyncio.FIRST_COMPLETED)
        except BaseException:  # cancelled: do not leave a worker behind
            life.stop()
            await asyncio.wait({ended})
            raise
        if life.error is not None:
            raise life.error
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Drain and release, within `drain_timeout` and a few seconds more.

        Raises:
            Exception: what broke the worker meanwhile, unless the block raises something itself.
        """
        life = self._life
        assert life is not None
        life.stop()
        await asyncio.wait({asyncio.wrap_future(life.ended)})
        if life.error is not None and error is None:
            raise life.error

    def _begin(self) -> _Life:
        if self._life is not None and not self._life.ended.done():
            raise UsageError("this Worker runs already", hint="make another one, or stop it first")
        self._life = _Life(self._settings(), self._declared(), self._flags, self._observers)
        return self._life

    def _settings(self) -> Settings:
        """Settle every option. Raises TriggerkitError: one cannot be used; nothing was touched."""
        triggers = self._group()
        configuration = Configuration(folder=Path.cwd(), env=self._env)
        if (path := self._flags.get("config")) is not None:
            configuration = load_configuration(os.fspath(path), folder=Path.cwd(), env=self._env)
        # the default says nothing, so that the configuration may name another state
        state = None if self._state == DEFAULT_STATE else self._state
        said = Flags(app=self._app or None, state=state)
        settings = build_settings(triggers, configuration, said, os.environ)
        if not any(plan.options.enabled for plan in settings.mappings):
            raise NoTriggersError("every trigger is disabled", hint="set enabled=True on one")
        try:
            refuse_implicit_state(settings, container_sign(os.environ))
        except ImplicitStateError as error:
            raise ImplicitStateError(
                error.message,
                hint='say where: Worker(..., state="sqlite:////MOUNTED/state.db"), or "memory:"',
            ) from None
        for plan in settings.mappings:
            callable_of(plan.trigger)
        for note in settings.notes:
            log.warning("configuration_left_out", message=note)
        return settings

    def _group(self) -> Triggers[Any]:
        if len(self._triggers) == 1:
            return self._triggers[0]
        if not self._triggers:
            raise NoTriggersError("Worker() has no triggers", hint="give it a Triggers object")
        names = {group.name for group in self._triggers if group.name}
        if len(names) > 1 and not self._app:
            raise UsageError(
                f"Worker(...) has groups of several names: {', '.join(sorted(names))}",
                hint='say under which name state is kept: Worker(..., app="NAME")',
            )
        group: Triggers[None] = Triggers(min(names, default=""))
        group.include(*self._triggers)
        return group

    def _declared(self) -> frozenset[str]:
        return frozenset(trigger.name for group in self._triggers for trigger in group.triggers)


class _Life:
    """One start of a worker and what came of it, on an event loop of its own."""

    def __init__(
        self,
        settings: Settings,
        declared: frozenset[str],
        flags: WorkerFlags,
        observers: Sequence[Observer],
    ) -> None:
        self.settings = settings
        self.counts = Counts()
        self.error: BaseException | None = None
        self.on_ready: Callable[[], None] = lambda: None
        self.ready: Future[None] = Future()
        """Done when the worker reads."""
        self.ended: Future[None] = Future()
        """Done when everything is released, or the start has failed."""
        self._run_flags = RunFlags(
            burst=flags.get("burst", False),
            drain_timeout_seconds=flags.get("drain_timeout", DRAIN_TIMEOUT_SECONDS),
            accept_orphaned=frozenset(flags.get("accept_orphaned", ())),
            declared_triggers=declared,
            shown_records=flags.get("log_records", "none"),
            locator_defaults={
                name: str(text)
                for name, text in flags.items()
                if name in ACCESS_KEYS and text is not None
            },
        )
        self._observers = observers
        self._state = WorkerState.STARTING
        self._stop_asked = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._worker: RunningWorker | None = None
        self._thread: int | None = None

    def live(self, prepare: Callable[[Callable[[], None]], None] | None = None) -> None:
        """Run to the end on this thread; what went wrong is in `error`, but for an interrupt.

        Args:
            prepare: called on the loop with what stops the worker.
        """
        self._thread = threading.get_ident()
        try:
            asyncio.run(self._run(prepare))
        except Exception as error:  # noqa: BLE001 - kept for the one who waits, and told
            self._fail(error)
        except BaseException as error:
            self._fail(error)
            raise
        else:
            self._state = WorkerState.STOPPED
        finally:
            self.ended.set_result(None)

    def stop(self) -> None:
        """From any thread."""
        self._stop_asked = True
        if self._loop is not None and self._worker is not None:
            with suppress(RuntimeError):  # the loop is closed: it has ended
                self._loop.call_soon_threadsafe(self._worker.stop)

    def snapshot(self) -> WorkerSnapshot:
        """From any thread: taken on the loop, which alone may look at the machines."""
        loop = self._loop
        if loop is None or self._thread == threading.get_ident():
            return self._picture()
        taken: Future[WorkerSnapshot] = Future()
        with suppress(RuntimeError):  # the loop is closed: it has ended
            loop.call_soon_threadsafe(lambda: taken.set_result(self._picture()))
        while not self.ended.done():
            with suppress(TimeoutError):
                return taken.result(_ANSWER_CHECK_SECONDS)
        return self._picture()

    def _picture(self) -> WorkerSnapshot:
        return WorkerSnapshot(
            self._state,
            self.settings.app,
            self.settings.env,
            {} if self._worker is None else self._worker.snapshots(),
            replace(self.counts),
            self.error,
        )

    async def _run(self, prepare: Callable[[Callable[[], None]], None] | None) -> None:
        with worker_pools() as pools:
            worker = RunningWorker(
                self.settings,
                self._run_flags,
                pools,
                SystemClock(),
                (self._observe, *self._observers),
            )
            self.counts = worker.counts
            worker.on_ready = self._ready
            # in this order: a stop that does not find them yet has left its mark
            self._worker, self._loop = worker, asyncio.get_running_loop()
            if self._stop_asked:
                worker.stop()
            if prepare is not None:
                prepare(worker.stop)
            await worker.run()

    def _ready(self) -> None:
        self._state = WorkerState.RUNNING
        self.ready.set_result(None)
        self.on_ready()

    def _observe(self, event: Event) -> None:
        if isinstance(event, Draining):
            self._state = WorkerState.DRAINING

    def _fail(self, error: BaseException) -> None:
        self.error = error
        self._state = WorkerState.FAILED
        if self.ready.done() and isinstance(error, Exception):
            known = isinstance(error, TriggerkitError)
            log.error(
                "worker_failed",
                error_type=error.code
                if isinstance(error, TriggerkitError)
                else type(error).__name__,
                error_message=str(error),
                exc_info=None if known else error,
            )


def _stop_on_signals(stop: Callable[[], None]) -> None:
    """The first signal drains; the second does what it does by default."""
    if threading.current_thread() is not threading.main_thread():
        return
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
        stop()

    for number in _SIGNALS:
        loop.add_signal_handler(number, on_signal)


@contextmanager
def _given_back_signals() -> Iterator[None]:
    """Bring back the program's own signal handlers."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:  # None: it was not set from Python
                signal.signal(number, handler)


def _check_flags(given: WorkerFlags) -> None:
    """Refuse flags that do not exist or have a wrong value. Raises UsageError."""
    names = WorkerFlags.__annotations__
    for name in given:
        if name in OPTION_NAMES:
            raise UsageError(
                f"Worker({name}=...): no such flag",
                hint=f"{name} is an option of triggers: give it to Triggers(...) or to the decorator",
            )
        if name not in names:
            raise UsageError(f"Worker({name}=...): no such flag", hint=nearest(name, sorted(names)))
    try:
        TypeAdapter(WorkerFlags).validate_python(given)
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0])
        value: object = given.get(name)
        meaning = get_type_hints(WorkerFlags, include_extras=True)[name].__metadata__[-1]
        raise UsageError(
            f"Worker({name}={value!r}) cannot be used", hint=f"{name}: {meaning}"
        ) from None
