"""Every error that triggerkit raises, in one tree, split first by whose fault it is.

Each class has a stable `code`; each instance says what happened (the message, which names the thing) and what
to do about it (the `hint`). This module imports nothing of triggerkit.
"""

from __future__ import annotations

import difflib
import signal
from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

EXIT_CODES: Final[Mapping[int, str]] = {
    0: "done, or drained",
    1: "a fault of triggerkit",
    2: "wrong usage: the command line, the configuration or the module; a declined question",
    3: "the stream cannot be used: credentials, permission, not there, not reachable",
    4: "the state cannot be used",
    5: "no triggers",
    12: "a handler failed, or records were discarded",
    13: "a simulated world broke a promise",
    14: "the drain ran out of time",
    130: "interrupted twice",
}
"""Every exit code of the command line, in words."""
EXIT_DRAIN_EXPIRED: Final = 14
EXIT_INTERRUPTED: Final = 130
LONGEST_LIST: Final = 50
"""Of the known names that a hint shows."""


def close_name(name: str, known: Sequence[str]) -> str | None:
    """The known name that was probably meant; None when none is close."""
    close = difflib.get_close_matches(name, known, n=1)
    return close[0] if close else None


def nearest(name: str, known: Sequence[str]) -> str:
    """A hint for a name that does not exist: the nearest known one, or all of them."""
    if (close := close_name(name, known)) is not None:
        return f"did you mean {close}?"
    more = f" and {len(known) - LONGEST_LIST} more" if len(known) > LONGEST_LIST else ""
    return f"known: {', '.join(known[:LONGEST_LIST]) or 'none'}{more}"


def ending_in_words(code: int) -> str:
    """How a process ended, for a person; `code` is negative for the signal that killed it."""
    if code < 0:
        try:
            return f"killed by signal {-code} ({signal.Signals(-code).name})"
        except ValueError:
            return f"killed by signal {-code}"
    return f"exit code {code}: {EXIT_CODES[code]}" if code in EXIT_CODES else f"exit code {code}"


class TriggerkitError(Exception):
    """Root of the tree; never raised itself."""

    code: ClassVar[str] = "triggerkit"
    exit_code: ClassVar[int] = 1
    permanent: ClassVar[bool] = False
    """Waiting alone cannot cure it: a start refuses, a running worker reports `Blocked` and retries rarely."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def error_code(error: BaseException) -> str:
    """The stable code of an error of ours; the name of the class of any other."""
    return error.code if isinstance(error, TriggerkitError) else type(error).__name__


class InternalError(TriggerkitError):
    """A fault of triggerkit: a broken invariant. The process stops rather than limp."""

    code = "internal"
    exit_code = 1


# --- the user's configuration or code: exit 2 -------------------------------------------------------------------


class UsageError(TriggerkitError):
    """The command line, the configuration or the handlers' module is wrong; nothing was touched."""

    code = "usage"
    exit_code = 2
    permanent = True


class TargetError(UsageError):
    """TARGET does not name an importable `Triggers`: missing module, missing attribute, or it raised at import."""

    code = "target"


class OptionError(UsageError):
    """An option is unknown, out of range, or not supported by this version or this source."""

    code = "option"


class LocatorError(UsageError):
    """A locator cannot be read: bad syntax, unknown scheme or key, unresolved `${VAR}`."""

    code = "locator"


class HandlerSignatureError(UsageError):
    """A handler cannot be called as its decorator promises."""

    code = "handler_signature"


class DuplicateTriggerError(UsageError):
    """Two triggers have one name; state is kept under that name."""

    code = "duplicate_trigger"


class OrphanedStateError(UsageError):
    """State exists under a name that is no longer declared, beside a new name on the same source (decision 23)."""

    code = "orphaned_state"


class CassetteError(UsageError):
    """A recording of a stream cannot be read or written: it is cut off, damaged, newer, or not there."""

    code = "cassette"


class NoTriggersError(UsageError):
    """The target declares no trigger, or the globs select none."""

    code = "no_triggers"
    exit_code = 5


# --- the source: exit 3 ----------------------------------------------------------------------------------------


class SourceError(TriggerkitError):
    """The stream cannot be used."""

    code = "source"
    exit_code = 3


class SourceNotFoundError(SourceError):
    """The table or stream does not exist in that account and Region."""

    code = "source_not_found"


class ShardGoneError(SourceError):
    """The shard is gone for good, and what was not read of it is lost. Only raised where that was confirmed."""

    code = "shard_gone"


class StreamDisabledError(SourceError):
    """The table exists and has no stream."""

    code = "stream_disabled"


class CredentialsError(SourceError):
    """No usable credentials were found, or the service refused them."""

    code = "credentials"


class PermissionDeniedError(SourceError):
    """The credentials are good and do not allow the call."""

    code = "permission_denied"
    permanent = True


class EndpointUnreachableError(SourceError):
    """Nothing answered at the endpoint."""

    code = "endpoint_unreachable"


class ThrottledError(SourceError):
    """The service asks to come back later; always retried."""

    code = "throttled"


class PositionTrimmedError(SourceError):
    """The position was removed by retention: records after it were lost (decision 8: never silently)."""

    code = "position_trimmed"


class RequestRefusedError(SourceError):
    """The service calls the request itself wrong (such as a ValidationException): sent again, it fails again."""

    code = "request_refused"
    permanent = True


class PositionImpossibleError(SourceError):
    """A checkpoint cannot belong to this shard: the service refuses it, or the shard's numbers began again."""

    code = "position_impossible"
    permanent = True


class ListingUnusableError(SourceError):
    """A listing of shards that contradicts itself: a cycle of parents, a page token that repeats, no last page."""

    code = "listing_unusable"


class ReplyTooLargeError(SourceError):
    """A reply is larger than the service ever sends; it was not read to its end."""

    code = "reply_too_large"


class DamagedReplyError(SourceError):
    """A reply whose checksum, length or shape is wrong; read again with the same iterator (decision 16)."""

    code = "damaged_reply"


# --- the lease store: exit 4 -----------------------------------------------------------------------------------


class StateError(TriggerkitError):
    """The lease store cannot be used."""

    code = "state"
    exit_code = 4


class StateFormatError(StateError):
    """The state was written by a newer format than this version reads."""

    code = "state_format"
    permanent = True


class StateUnusableError(StateError):
    """The state is damaged, cannot be written, belongs to another program, or was removed while in use."""

    code = "state_unusable"
    permanent = True


class StateLockedError(StateError):
    """Another program holds the write lock of the state file."""

    code = "state_locked"


class ImplicitStateError(StateError):
    """The default SQLite state would die with this container."""

    code = "implicit_state"
    permanent = True


class LeaseLostError(StateError):
    """A fenced write found another owner or counter: the lease belongs to somebody else."""

    code = "lease_lost"


# --- handlers: exit 12; destinations: exit 2, as they end only a start --------------------------------------------


class HandlerError(TriggerkitError):
    """The user's handler failed."""

    code = "handler"
    exit_code = 12


class ImageNotInStream(HandlerError):  # noqa: N818 - the public name
    """A handler asked for an image that the stream's view type leaves out."""

    code = "image_not_in_stream"


class ImageMismatchError(HandlerError):
    """An image does not fit the type that the handler is annotated with; never shows a value."""

    code = "image_mismatch"


class DestinationError(TriggerkitError):
    """A failure record could not be delivered; the lane is held (decision 6)."""

    code = "destination"
    exit_code = 2


class DestinationUnusableError(DestinationError):
    """The destination takes no failure record: it may not be written, or is something else."""

    code = "destination_unusable"
    permanent = True


# --- simulations: exit 13 ---------------------------------------------------------------------------------------


class SimulationError(TriggerkitError):
    """A simulated world broke a promise, or cannot come to rest."""

    code = "simulation"
    exit_code = 13
