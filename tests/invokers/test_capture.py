"""What handlers print: whole lines with the fields of the call; everybody else keeps the stream."""

from __future__ import annotations

import asyncio
import io
import logging
import sys
import threading
from typing import Any

import pytest
from invokers.handler_stage import Stage, invocation, on_stage, own_streams

from triggerkit.invokers.capture import ScopedStream, capture_streams


def printed_by(handler: Any, calls: int = 1) -> list[dict[str, Any]]:
    async def scene(stage: Stage) -> list[Any]:
        invoker = stage.invoker(handler)
        names = [f"call-{number}" for number in range(calls)]
        await asyncio.gather(*(invoker.invoke(invocation(request_id=name)) for name in names))
        return stage.log.named("handler_printed")

    return on_stage(scene)


def test_a_print_becomes_an_entry_with_the_fields_of_its_call() -> None:
    with own_streams() as streams:

        def handler(event: object, context: object) -> None:
            print("to out")
            print("to err", file=sys.stderr)

        first, second = printed_by(handler)
        assert (first["message"], first["stream"], first["level"]) == ("to out", "stdout", "info")
        assert (second["message"], second["stream"]) == ("to err", "stderr")
        assert (first["trigger"], first["source"], first["shard"]) == ("notify", "t", "shardId-1")
        assert (first["request_id"], first["attempt"]) == ("call-0", 1)
        assert [stream.getvalue() for stream in streams] == ["", ""]


def test_lines_are_put_together_and_the_last_one_needs_no_newline() -> None:
    with own_streams():

        def handler(event: object, context: object) -> None:
            print("one", end="", flush=True)
            print("-two\nthree\n\n", end="")
            sys.stdout.writelines(["fo", "ur\r\n", "five"])

        lines = [entry["message"] for entry in printed_by(handler)]
        assert lines == ["one-two", "three", "four", "five"]


def test_the_pieces_of_concurrent_calls_never_mix() -> None:
    with own_streams():

        async def handler(event: object, context: Any) -> None:
            for number in range(20):
                for piece in (context.aws_request_id, " ", str(number)):
                    sys.stdout.write(piece)
                    await asyncio.sleep(0)
                print()

        entries = printed_by(handler, calls=5)
        assert len(entries) == 100
        for call in (f"call-{number}" for number in range(5)):
            mine = [entry["message"] for entry in entries if entry["request_id"] == call]
            assert mine == [f"{call} {number}" for number in range(20)]


def test_a_thread_with_the_context_is_captured_and_one_without_keeps_the_stream() -> None:
    with own_streams() as streams:

        async def handler(event: object, context: object) -> None:
            await asyncio.to_thread(print, "with the context")
            bare = threading.Thread(target=print, args=("without",))
            bare.start()
            bare.join()

        assert [entry["message"] for entry in printed_by(handler)] == ["with the context"]
        assert streams[0].getvalue() == "without\n"


def test_a_task_that_outlives_its_call_still_reaches_the_log() -> None:
    with own_streams():
        over = asyncio.Event()
        late: list[asyncio.Task[None]] = []

        async def lingering() -> None:
            await over.wait()
            sys.stdout.write("late, no newline")

        async def handler(event: object, context: object) -> None:
            if late:
                over.set()
                await late[0]
            else:
                late.append(asyncio.get_running_loop().create_task(lingering()))

        async def scene(stage: Stage) -> list[Any]:
            invoker = stage.invoker(handler)
            await invoker.invoke(invocation(request_id="first"))
            await invoker.invoke(invocation(request_id="second"))
            return stage.log.named("handler_printed")

        (entry,) = on_stage(scene)
        assert (entry["message"], entry["request_id"]) == ("late, no newline", "first")


def test_an_endless_line_is_logged_in_pieces() -> None:
    with own_streams():

        def handler(event: object, context: object) -> None:
            for _ in range(3):
                sys.stdout.write("x" * 50_000)

        assert sum(len(entry["message"]) for entry in printed_by(handler)) == 150_000


def test_a_log_that_prints_does_not_come_back_to_itself() -> None:
    with own_streams() as streams:

        async def scene(stage: Stage) -> None:
            class Printing:
                def info(self, event: str, **fields: object) -> None:
                    print(f"{event} {fields['message']}")

            stage.log.logger = Printing  # type: ignore[assignment,method-assign]
            await stage.invoker(lambda event, context: print("hello")).invoke(invocation())

        on_stage(scene)
        assert streams[0].getvalue() == "handler_printed hello\n"


def test_outside_of_handlers_the_streams_are_the_real_ones() -> None:
    with own_streams() as streams:
        print("plain")
        assert streams[0].getvalue() == "plain\n"
        assert isinstance(sys.stdout, ScopedStream)
        assert sys.stdout.isatty() is False
        assert sys.stdout.getvalue() == "plain\n"
        with pytest.raises(TypeError):
            sys.stdout.write(b"bytes")  # type: ignore[arg-type]


def test_writing_bytes_to_a_captured_stream_is_the_usual_error() -> None:
    with own_streams():
        errors: list[str] = []

        def handler(event: object, context: object) -> None:
            try:
                sys.stdout.write(b"bytes")  # type: ignore[arg-type]
            except TypeError as error:
                errors.append(str(error))

        printed_by(handler)
        assert errors == ["write() argument must be str, not bytes"]


def test_the_streams_are_replaced_once_and_a_later_replacement_is_respected() -> None:
    with own_streams() as streams:
        before = sys.stdout
        capture_streams()()
        assert sys.stdout is before
        other = io.StringIO()
        sys.stdout = other
        restore = capture_streams()
        restore()
        assert sys.stdout is other
        sys.stdout = streams[0]


def test_a_logging_handler_made_while_captured_is_captured_too() -> None:
    with own_streams():

        def handler(event: object, context: object) -> None:
            logger = logging.getLogger("of-a-user")
            logger.propagate = False
            logger.addHandler(logging.StreamHandler())
            logger.warning("careful")
            logger.handlers.clear()

        assert [entry["message"] for entry in printed_by(handler)] == ["careful"]


def test_a_handler_that_closes_its_streams_closes_neither_the_log_nor_the_next_call_s_output() -> (
    None
):
    with own_streams() as streams:

        def handler(event: object, context: object) -> None:
            print("hello")
            sys.stdout.close()
            sys.stderr.close()

        assert [entry["message"] for entry in printed_by(handler, calls=2)] == ["hello"] * 2
        assert not any(stream.closed for stream in streams)


def test_bytes_written_to_the_buffer_of_a_stream_are_output_too() -> None:
    with own_streams():

        def handler(event: object, context: object) -> None:
            sys.stdout.buffer.write("größer\n".encode())
            sys.stdout.buffer.write(b"\xff\n")
            sys.stdout.flush()

        assert [entry["message"] for entry in printed_by(handler)] == ["größer", "\\xff"]
