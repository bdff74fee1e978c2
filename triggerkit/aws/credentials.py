"""The credentials that requests are signed with: the event loop reads a snapshot of them.

Finding and renewing credentials can block on the network (metadata service, SSO, STS), so both run in
the runner: once at the start, then in the background, far ahead of expiry.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from triggerkit.aws.errors import client_side_error
from triggerkit.aws.signing import Keys
from triggerkit.errors import TriggerkitError
from triggerkit.ports import Runner

if TYPE_CHECKING:
    from botocore.credentials import Credentials

LOOK_INTERVAL_SECONDS = 60.0
"""botocore renews by itself 15 minutes before expiry, when asked; so it is asked once a minute."""
LONG_IDLE_SECONDS = 300.0
"""After this long without a look the snapshot may have expired: the next request waits for one."""


class KeyRing:
    """A snapshot of credentials and how it is kept fresh. `find` blocks and starts from scratch."""

    def __init__(self, run: Runner, find: Callable[[], Credentials]) -> None:
        self._run = run
        self._find = find
        self._credentials: Credentials | None = None
        self._keys = Keys("", "")
        self._looked_at_seconds = 0.0
        self._next_look_seconds = 0.0
        self._look: asyncio.Task[None] | None = None
        self._renewal = asyncio.Lock()

    async def keys(self) -> Keys:
        """The keys to sign with now. Raises CredentialsError when there never were any."""
        if self._credentials is None:
            await self.renew(self._keys)
        now_seconds = asyncio.get_running_loop().time()
        if now_seconds >= self._next_look_seconds:
            self._next_look_seconds = now_seconds + LOOK_INTERVAL_SECONDS
            self._look = asyncio.get_running_loop().create_task(self._look_again())
            if now_seconds - self._looked_at_seconds > LONG_IDLE_SECONDS:
                await asyncio.shield(self._look)
        return self._keys

    async def renew(self, refused: Keys) -> None:
        """Find other credentials than `refused`; who comes second finds the work done.

        Raises:
            CredentialsError: there are none.
        """
        async with self._renewal:
            if self._credentials is not None and self._keys != refused:
                return
            self._credentials, self._keys = await self._run(self._find_keys)
            self._looked_now()

    async def close(self) -> None:
        """End a look that is under way."""
        if self._look is not None:
            self._look.cancel()
            await asyncio.gather(self._look, return_exceptions=True)

    def _looked_now(self) -> None:
        self._looked_at_seconds = asyncio.get_running_loop().time()
        self._next_look_seconds = self._looked_at_seconds + LOOK_INTERVAL_SECONDS

    async def _look_again(self) -> None:
        credentials = self._credentials
        if credentials is None:
            return
        try:
            self._keys = await self._run(lambda: _frozen(credentials))
        except TriggerkitError:
            return  # the keys in hand are good for minutes: a later look, or a refusal, says more
        self._looked_now()

    def _find_keys(self) -> tuple[Credentials, Keys]:
        credentials = self._find()
        return credentials, _frozen(credentials)


def _frozen(credentials: Credentials) -> Keys:
    from botocore.exceptions import BotoCoreError

    try:
        frozen = credentials.get_frozen_credentials()
    except BotoCoreError as error:
        raise client_side_error(error, "renewing", "the credentials") from error
    return Keys(frozen.access_key or "", frozen.secret_key or "", frozen.token or "")
