"""How commands find a running `dev`.

`.triggerkit/dev.json` says where it listens and holds the token of its `/_sim/`; `.triggerkit/dev.lock` is
locked as long as it lives, also when it is killed. Both are the user's alone.
"""

from __future__ import annotations

import fcntl
import http.client
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from triggerkit.commands.loading import access_of
from triggerkit.commands.output import say
from triggerkit.core.locators import SHARED_KEYS, parse
from triggerkit.dev.sandbox import replace_environment, sandboxed
from triggerkit.errors import StateError, UsageError

FOLDER = ".triggerkit"
LINK_FILE = "dev.json"
LOCK_FILE = "dev.lock"
TIMEOUT_SECONDS = 30.0
OR_AWS = "; or add --aws for AWS"
"""What else helps a command that can reach AWS where no `dev` runs."""
LOCK_PATIENCE_SECONDS = 0.5
"""Others hold the lock for the moment of a look."""


@dataclass(frozen=True, slots=True)
class DevLink:
    """A running `dev`. `backend` is the endpoint underneath, empty for the embedded one."""

    endpoint_url: str
    pid: int
    token: str = field(repr=False)
    backend: str = ""


def find_dev(folder: Path) -> DevLink | None:
    """The `dev` that runs for the configuration in `folder`, or None."""
    place = folder / FOLDER
    if not _is_locked(place / LOCK_FILE):
        return None
    try:
        return DevLink(**json.loads((place / LINK_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None  # it starts or ends at this moment


def require_dev(config: str | None, *, hint: str = "") -> DevLink:
    """The `dev` that runs for the configuration of this folder, or for the file `config`.

    Raises:
        UsageError: there is none; `hint` is what else would help.
    """
    from triggerkit.configuration import load_configuration

    folder = load_configuration(config, folder=Path.cwd()).folder
    link = find_dev(folder)
    if link is None:
        raise UsageError(
            f"no `triggerkit dev` runs for {folder}",
            hint="start one in another terminal: triggerkit dev; or go to the folder of the one that runs"
            + hint,
        )
    return link


def access_through_dev(given: Mapping[str, Any], source: str) -> dict[str, str]:
    """The access keys of a command that reads `source`; from the running `dev` where no place is named.

    A flag about AWS, a common key of the locator, or an `AWS_ENDPOINT_URL` is a place, and so is `--aws`.

    Raises:
        UsageError: no place is named and no `dev` runs. LocatorError: `source` cannot be read.
    """
    access = access_of(given)
    named = any(name.startswith("AWS_ENDPOINT_URL") for name in os.environ)
    if given["aws"] or access or named or parse(source).keys.keys() & SHARED_KEYS:
        return access
    link = require_dev(given["config"], hint=OR_AWS)
    say(f"from the running dev at {link.endpoint_url}; --aws is for AWS", err=True)
    replace_environment(sandboxed(os.environ, link.endpoint_url))
    return access


@contextmanager
def claimed(folder: Path) -> Iterator[Path]:
    """Be the one `dev` of `folder`; its `.triggerkit`, made if missing.

    Raises:
        UsageError: another one runs. StateError: the folder cannot be written.
    """
    place = folder / FOLDER
    try:
        place.mkdir(mode=0o700, exist_ok=True)
        handle = os.open(place / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StateError(
            f"{place} cannot be written: {error.strerror}",
            hint="make it yours: tables and positions of dev are kept in it",
        ) from None
    try:
        if not _taken_lock(handle):
            refuse_second(folder)
        try:
            yield place
        finally:
            with suppress(FileNotFoundError):
                (place / LINK_FILE).unlink()
    finally:
        os.close(handle)  # lets go of the lock, too


def refuse_second(folder: Path) -> None:
    """Raises UsageError: a `dev` runs for `folder` already."""
    if not _is_locked(folder / FOLDER / LOCK_FILE):
        return
    link = find_dev(folder)
    where = f" at {link.endpoint_url} (process {link.pid})" if link else ""
    raise UsageError(
        f"a `triggerkit dev` runs for {folder} already{where}",
        hint="use it, or end it with Ctrl-C first",
    )


def publish(place: Path, link: DevLink) -> None:
    """Write `dev.json`, whole, for this user's eyes only."""
    draft = place / f"{LINK_FILE}.new"
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        json.dump(asdict(link), stream)
    draft.replace(place / LINK_FILE)


def control(link: DevLink, verb: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """Ask `/_sim/` of a running `dev`.

    Raises:
        UsageError: it refused, or does not answer, or has another endpoint underneath.
    """
    if link.backend:
        raise UsageError(
            f"the running `dev` uses {link.backend}, which has no faults",
            hint="start it without --backend",
        )
    address = urlsplit(link.endpoint_url)
    connection = http.client.HTTPConnection(
        address.hostname or "", address.port, timeout=TIMEOUT_SECONDS
    )
    try:
        headers = {"x-triggerkit-token": link.token, "Content-Type": "application/json"}
        connection.request("POST", f"/_sim/{verb}", json.dumps(request), headers)
        answer = connection.getresponse()
        reply: dict[str, Any] = json.loads(answer.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise UsageError(
            f"the `dev` at {link.endpoint_url} does not answer: {error}",
            hint="end it with Ctrl-C and start it again",
        ) from None
    finally:
        connection.close()
    if answer.status != 200:
        raise UsageError(str(reply.get("message", reply)), hint="correct the command")
    return reply


def _taken_lock(handle: int) -> bool:
    until = time.monotonic() + LOCK_PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                return False
            time.sleep(0.02)
        else:
            return True


def _is_locked(file: Path) -> bool:
    try:
        handle = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False
