"""Results and errors beside those of Lambda's own runtime interface client, `awslambdaric`."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import json
import math
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from awslambdaric import bootstrap
from awslambdaric.lambda_runtime_client import BaseLambdaRuntimeClient
from awslambdaric.lambda_runtime_marshaller import LambdaMarshaller
from hypothesis import given, settings
from hypothesis import strategies as st
from invokers.handler_stage import batch_of, invocation, outcome_of

from triggerkit.core.outcome import Failed, Outcome, PartlyFailed, Succeeded
from triggerkit.invokers.endings import ending_of_error, ending_of_result
from triggerkit.invokers.responses import RESPONSE_LIMIT_BYTES, Fault, response_of

RUNTIMES = [f"AWS_Lambda_python3.{minor}" for minor in (11, 12, 14)]
"""Two that write all characters and one that escapes those beyond ASCII."""


class Client(BaseLambdaRuntimeClient):
    """Lambda's client up to the socket: what it would post is kept."""

    def __init__(self) -> None:
        self.marshaller = LambdaMarshaller()  # reads the runtime's name now
        self.body: bytes = b""
        self.error: dict[str, Any] | None = None

    def post_invocation_result(
        self, invoke_id: Any, result_data: Any, content_type: Any = "", invocation_id: Any = None
    ) -> None:
        self.body = result_data if isinstance(result_data, bytes) else result_data.encode("utf-8")

    def post_invocation_error(
        self, invoke_id: Any, error_response_data: Any, xray_fault: Any, invocation_id: Any = None
    ) -> None:
        self.error = json.loads(error_response_data)


class Sink:
    def log_error(self, lines: list[str]) -> None: ...


def on_lambda(handler: Callable[[Any, Any], Any]) -> bytes | Fault:
    """What the runtime interface client answers for one call; ExitError where it does not survive."""
    client = Client()
    try:
        bootstrap.handle_event_request(
            client, handler, "id", b"{}", "application/json", "", "", "arn", 0, None, Sink()
        )
    except BaseException:  # noqa: BLE001 - the process would end
        return Fault(
            "Runtime.ExitError", "RequestId: id Error: Runtime exited with error: exit status 1"
        )
    if client.error is None:
        return client.body
    return Fault(client.error["errorType"], client.error["errorMessage"])


class Pair(NamedTuple):
    left: object
    right: object


class Colour(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    LOW = 1


class Word(enum.StrEnum):
    YES = "yes"


class Text(str):
    __slots__ = ()


class Number(float):
    def __repr__(self) -> str:
        return "shown"


@dataclasses.dataclass
class Order:
    id: str


class AsDict:
    def _asdict(self) -> dict[str, int]:
        return {"a": 1}


class BadAsDict:
    def _asdict(self) -> int:
        return 1


class ForJson:
    def for_json(self) -> str:
        return "no"


class WithJson:
    def __json__(self) -> str:
        return "no"


class Hostile(dict[str, int]):
    def items(self) -> Any:
        raise RuntimeError("do not look")


def loop() -> list[object]:
    around: list[object] = []
    around.append(around)
    return around


def deep(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


def some() -> Iterator[int]:
    yield 1


D = decimal.Decimal
VALUES: dict[str, Callable[[], object]] = {
    "none": lambda: None,
    "true": lambda: True,
    "text": lambda: "text",
    "empty text": lambda: "",
    "text beyond ASCII": lambda: {"é": "größer \U0001f600 \u2028"},
    "half a surrogate pair": lambda: "\ud800",
    "half a surrogate pair in a key": lambda: {"\udc00": 1},
    "bytes": lambda: b"\xff\x00",
    "bytes with JSON": lambda: b'{"batchItemFailures": []}',
    "bytes inside": lambda: {"a": b"text", "b": ["é".encode()]},
    "bytes inside that are no text": lambda: {"a": b"\xff"},
    "bytes as a key": lambda: {b"a": 1},
    "bytearray": lambda: bytearray(b"x"),
    "memoryview": lambda: memoryview(b"x"),
    "NaN": lambda: math.nan,
    "infinity": lambda: [math.inf, -math.inf],
    "NaN as a key": lambda: {math.nan: 1},
    "a big number": lambda: 10**100,
    "a number with too many digits": lambda: 10**5000,
    "a float": lambda: [1.0, 1e100, 5e-324, -0.0],
    "decimals": lambda: [D("1.10"), D("1E+3"), D("-0"), D("1E-400"), D("0E+3")],
    "decimal NaN": lambda: [D("NaN"), D("-NaN"), D("sNaN"), D("NaN123")],
    "decimal infinity": lambda: [D("Infinity"), D("-Infinity")],
    "a decimal as a key": lambda: {D("1"): 1},
    "a named tuple": lambda: Pair(1, "x"),
    "named tuples inside": lambda: {"a": [Pair(1, Pair(2, None))]},
    "a tuple": lambda: (1, (2, 3)),
    "a set": lambda: {1},
    "a frozenset": lambda: frozenset({1}),
    "an object": lambda: {"a": object()},
    "an object with _asdict": AsDict,
    "an object with a bad _asdict": BadAsDict,
    "an object with for_json": ForJson,
    "an object with __json__": WithJson,
    "a dataclass": lambda: Order("1"),
    "an enum": lambda: Colour.RED,
    "an int enum": lambda: Level.LOW,
    "a text enum": lambda: Word.YES,
    "enums as keys": lambda: {Level.LOW: 1, Word.YES: 2},
    "an enum as a key": lambda: {Colour.RED: 1},
    "a text of a class": lambda: Text("é"),
    "a float of a class": lambda: Number(1.5),
    "a date": lambda: datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    "a uuid": lambda: uuid.UUID(int=1),
    "a complex number": lambda: 1j,
    "keys of other types": lambda: {2: "a", 1.5: "b", True: "c", None: "d"},
    "a tuple as a key": lambda: {(1, 2): 3},
    "keys that become one": lambda: {1: "a", "1": "b"},
    "an ordered dict": lambda: collections.OrderedDict(b=1, a=2),
    "a user dict": lambda: collections.UserDict(a=1),
    "a default dict": lambda: collections.defaultdict(list, a=[1]),
    "a deque": lambda: collections.deque([1]),
    "a mapping proxy": lambda: type.__dict__,
    "a range": lambda: range(3),
    "a generator": some,
    "a map": lambda: map(str, [1]),
    "a loop": loop,
    "nested deep": lambda: deep(50),
    "nested too deep": lambda: deep(100_000),
    "a function": lambda: some,
    "a class": lambda: Order,
    "an exception": lambda: ValueError("x"),
    "a hostile dict": lambda: {"a": Hostile(a=1)},
    "just small enough": lambda: "x" * (RESPONSE_LIMIT_BYTES - 2),
    "bytes just small enough": lambda: b"x" * RESPONSE_LIMIT_BYTES,
}


def text_of(body: bytes | Fault) -> bytes | Fault:
    """Depths of recursion differ between two callers; what was too deep does not."""
    if isinstance(body, Fault) and "maximum recursion depth" in body.error_message:
        return Fault(body.error_type, "maximum recursion depth")
    return body


@pytest.mark.parametrize("runtime", [*RUNTIMES, "AWS_ECS_FARGATE", None])
@pytest.mark.parametrize("made", VALUES.values(), ids=VALUES)
def test_c5_a_result_is_sent_or_refused_as_lambda_s_runtime_client_does(
    made: Callable[[], object], runtime: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    this = f"AWS_Lambda_python{sys.version_info[0]}.{sys.version_info[1]}"
    monkeypatch.setenv("AWS_EXECUTION_ENV", runtime if runtime in RUNTIMES else this)
    expected = on_lambda(lambda event, context: made())
    if runtime is None:
        monkeypatch.delenv("AWS_EXECUTION_ENV")
    else:
        monkeypatch.setenv("AWS_EXECUTION_ENV", runtime)
    assert text_of(response_of(made(), "id")) == text_of(expected)


@pytest.mark.parametrize("made", VALUES.values(), ids=VALUES)
def test_c5_a_call_fails_where_lambda_s_would_and_in_its_words(made: Callable[[], object]) -> None:
    expected = on_lambda(lambda event, context: made())
    for is_async in (False, True):

        async def answering(event: object, context: object) -> object:
            return made()

        handler = answering if is_async else lambda event, context: made()
        outcome = outcome_of(handler, invocation(request_id="id"))
        if isinstance(expected, bytes):
            assert outcome == Succeeded()
        else:
            assert isinstance(outcome, Failed)
            failure = Fault(outcome.failure.error_type, outcome.failure.error_message)
            assert text_of(failure) == text_of(expected)


JSON_LIKE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.decimals()
    | st.text()
    | st.binary(max_size=8)
    | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.builds(Pair, inner, inner)
        | st.dictionaries(
            st.text() | st.integers() | st.booleans() | st.binary(), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("runtime", RUNTIMES)
@given(value=JSON_LIKE)
@settings(deadline=None, max_examples=150)
def test_c5_any_result_is_sent_or_refused_as_lambda_s_runtime_client_does(
    value: object, runtime: str
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_EXECUTION_ENV", runtime)
        assert response_of(value, "id") == on_lambda(lambda event, context: value)


@pytest.mark.parametrize(
    "result",
    [
        "x" * (RESPONSE_LIMIT_BYTES - 1),
        b"x" * (RESPONSE_LIMIT_BYTES + 1),
        {"a": "\x00" * 1_100_000},
    ],
    ids=["text", "bytes", "escapes"],
)
def test_c5_a_response_is_measured_as_it_is_sent(result: object) -> None:
    sent = on_lambda(lambda event, context: result)
    assert isinstance(sent, bytes)
    assert len(sent) > RESPONSE_LIMIT_BYTES
    refused = response_of(result, "id")
    assert isinstance(refused, Fault)
    assert refused.error_type == "Function.ResponseSizeTooLarge"


def test_c5_the_characters_that_the_runtime_escapes_count_as_six_bytes_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = "é" * 2_000_000
    monkeypatch.setenv("AWS_EXECUTION_ENV", "AWS_Lambda_python3.11")
    assert isinstance(response_of(text, "id"), Fault)
    monkeypatch.setenv("AWS_EXECUTION_ENV", "AWS_Lambda_python3.12")
    assert isinstance(response_of(text, "id"), bytes)


# --- partial responses, as the mapping reads them ---------------------------------------------------


class Report(NamedTuple):
    batchItemFailures: object  # noqa: N815 - Lambda's spelling


class Item(NamedTuple):
    itemIdentifier: object  # noqa: N815


@pytest.mark.parametrize(
    ("result", "index"),
    [
        (Report([Item("2")]), 1),
        ({"batchItemFailures": (Item("2"),)}, 1),
        ({"batchItemFailures": [{"itemIdentifier": b"2"}]}, 1),
        ({b"batchItemFailures": [{"itemIdentifier": "2"}]}, 1),
        ({"batchItemFailures": [{"itemIdentifier": Text("2")}]}, 1),
        (b'{"batchItemFailures": [{"itemIdentifier": "2"}]}', 1),
        ({"batchItemFailures": [{"itemIdentifier": 2}]}, 0),
        (b"no JSON", None),
        (b"", None),
        (Report(()), None),
        ('{"batchItemFailures": [{"itemIdentifier": "2"}]}', None),
    ],
)
def test_c5_a_report_is_read_in_what_was_sent(result: object, index: int | None) -> None:
    def outcome() -> Outcome:
        return ending_of_result(result, batch_of(("1", "2")), "id", reports=True)

    found = outcome()
    if index is None:
        assert found == Succeeded()
    else:
        assert isinstance(found, PartlyFailed)
        assert found.index == index


# --- what handlers raise ----------------------------------------------------------------------------


class OddError(Exception):
    def __str__(self) -> str:
        return ""


class LoudError(Exception):
    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)


class OwnBaseError(BaseException):
    pass


ERRORS: list[BaseException] = [
    ValueError("bad"),
    ValueError(),
    ValueError("größer \u2028 \x00"),
    ValueError("x" * 1_000_000),
    ValueError(b"bytes"),
    KeyError("id"),
    KeyError(),
    OddError(),
    LoudError(5, "why"),
    OSError(2, "missing", "file"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
    StopIteration(3),
    StopAsyncIteration(),
    RecursionError("too deep"),
    MemoryError(),
    TimeoutError("late"),
    ExceptionGroup("several", [ValueError("a"), KeyError("b")]),
    SyntaxError("odd", ("file.py", 1, 2, "text")),
    AssertionError(),
    # on Lambda these end the process
    BaseException("bare"),
    OwnBaseError("own"),
    GeneratorExit(),
    BaseExceptionGroup("several", [OwnBaseError("a")]),
]


@pytest.mark.parametrize("raised", ERRORS, ids=lambda error: repr(error)[:40])
def test_c5_an_error_has_the_type_and_text_that_lambda_s_runtime_client_sends(
    raised: BaseException,
) -> None:
    def handler(event: object, context: object) -> None:
        raise raised

    expected = on_lambda(handler)
    outcome = ending_of_error(raised, "id")
    assert Fault(outcome.failure.error_type, outcome.failure.error_message) == expected
    outcome = outcome_of(handler, invocation(request_id="id"))
    assert isinstance(outcome, Failed)
    assert Fault(outcome.failure.error_type, outcome.failure.error_message) == expected


CODES = [
    "", "0", "1", "2", "127", "255", "256", "257", "-1", "-256", "True", "False", "None", "'text'",
    "''", "1.5", "(1, 2)", "[]", "2**31", "2**40 + 3", "2**63", "2**70", "-2**63", "-2**70",
]  # fmt: skip


@pytest.mark.parametrize("code", CODES)
def test_c5_an_exit_has_the_status_that_the_process_would_have(code: str) -> None:
    """The oracle is Python itself: on Lambda the exit ends the process, whose status the service tells."""
    ended = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.exit({code})"],
        capture_output=True,
        check=False,
        timeout=60,
    )

    def handler(event: object, context: object) -> None:
        sys.exit(*([eval(code)] if code else []))

    outcome = outcome_of(handler, invocation(request_id="id"))
    assert isinstance(outcome, Failed)
    status = ended.returncode
    why = f"with error: exit status {status}" if status else "without providing a reason"
    assert outcome.failure.error_type == "Runtime.ExitError"
    assert outcome.failure.error_message == f"RequestId: id Error: Runtime exited {why}"


# --- the context ------------------------------------------------------------------------------------


def test_c5_the_context_has_every_attribute_of_lambda_s_runtime_client(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {
        "LOG_GROUP_NAME": "/aws/lambda/notify",
        "LOG_STREAM_NAME": "stream",
        "FUNCTION_NAME": "notify",
        "FUNCTION_MEMORY_SIZE": "128",
        "FUNCTION_VERSION": "$LATEST",
    }.items():
        monkeypatch.setenv(f"AWS_LAMBDA_{name}", value)
    theirs = bootstrap.create_lambda_context(
        "", "", int(time.time() * 1000) + 5000, "id", "arn", None
    )
    seen: list[Any] = []
    outcome_of(lambda event, context: seen.append(context), invocation(request_id="id"))
    (ours,) = seen
    for name in dir(theirs):
        if name.startswith("_"):
            continue
        own, other = getattr(ours, name), getattr(theirs, name)
        if name == "identity":
            own, other = own.cognito_identity_id, other.cognito_identity_id
        assert callable(own) == callable(other), name
        assert callable(own) or type(own) is type(other), name
    assert ours.w3c() == theirs.w3c()
    assert type(ours.get_remaining_time_in_millis()) is int
    ours.anything = 1  # libraries keep things there
