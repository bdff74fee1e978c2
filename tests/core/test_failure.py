"""The rewrite rule: the recorded call sequences of the contract, and what holds for any of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest
from core.builders import SERVICE_SECONDS, at, batch, numbers, options, record
from hypothesis import given, settings
from hypothesis import strategies as st

from triggerkit.core.failure import (
    FIRST_BACKOFF_SECONDS,
    LONGEST_BACKOFF_SECONDS,
    Verdict,
    backoff_seconds,
    decide,
    expire,
)
from triggerkit.core.model import Batch, DiscardReason, LastFailure, Now
from triggerkit.core.options import MappingOptions
from triggerkit.core.outcome import (
    Failed,
    GivenUp,
    NotInvoked,
    Outcome,
    PartlyFailed,
    RecordFailure,
    RecordsEnded,
    Succeeded,
)

RAISED = LastFailure("id", "ValueError", "no")
REPORTED = LastFailure("id", "BatchItemFailures", "1 reported", reported=True)
EXHAUSTED = DiscardReason.RETRY_ATTEMPTS_EXHAUSTED
TOO_OLD = DiscardReason.RECORD_AGE_EXCEEDED
Handler = Callable[[list[int], int], Outcome]
"""The numbers of a batch and how many calls came before."""


@dataclass
class Story:
    """What one lane did: its calls, what was done, and the failure records with their counts."""

    calls: list[list[int]] = field(default_factory=list)
    call_times: list[float] = field(default_factory=list)
    done: list[int] = field(default_factory=list)
    documents: list[tuple[list[int], DiscardReason, int]] = field(default_factory=list)
    seconds: float = 0.0


def play(head: Batch, handler: Handler, given: MappingOptions, *, calls: int = 10_000) -> Story:
    """One lane from a batch to nothing, waiting out every backoff."""
    story, queue = Story(), [head]
    while queue and len(story.calls) < calls:
        story.seconds = max(story.seconds, queue[0].not_before_seconds)
        verdict = expire(queue.pop(0), given, at(story.seconds))
        queue[:0] = _noted(story, verdict)
        if verdict.discarded is not None:
            continue
        called = queue.pop(0)
        story.calls.append(numbers(called))
        story.call_times.append(story.seconds)
        outcome = handler(numbers(called), len(story.calls) - 1)
        queue[:0] = _noted(story, decide(called, outcome, given, at(story.seconds)))
    return story


def _noted(story: Story, verdict: Verdict) -> Sequence[Batch]:
    if verdict.done is not None:
        story.done += numbers(verdict.done)
    if verdict.discarded is not None:
        gone = verdict.discarded
        story.documents.append((numbers(gone), verdict.reason, max(1, gone.attempts)))
    return verdict.again


def raises_on(*poison: int) -> Handler:
    return lambda given, _: Failed(RAISED) if set(poison) & set(given) else Succeeded()


def reports(*poison: int) -> Handler:
    """Report the first poisonous record of a batch."""

    def handler(given: list[int], _: int) -> Outcome:
        bad = [index for index, number in enumerate(given) if number in poison]
        return PartlyFailed(bad[0], REPORTED) if bad else Succeeded()

    return handler


def always_raises(given: list[int], call: int) -> Outcome:
    return Failed(RAISED)


@pytest.mark.parametrize(("retries", "calls"), [(0, 1), (1, 2), (2, 3), (3, 4)], ids=str)
def test_f9_n_retries_make_n_plus_one_calls(retries: int, calls: int) -> None:
    story = play(batch(1, 2), always_raises, options(maximum_retry_attempts=retries))
    assert story.calls == [[1, 2]] * calls
    assert story.documents == [([1, 2], EXHAUSTED, calls)]


@dataclass(frozen=True)
class Capture:
    """A recorded sequence: the handler, the options, and what was seen."""

    rule: str
    head: tuple[int, ...]
    handler: Handler
    given: MappingOptions
    calls: list[list[int]]
    documents: list[tuple[list[int], DiscardReason, int]]


CAPTURES = (
    Capture(
        "F-28 F-30, report, retries 1",
        (1, 2, 3, 4),
        reports(2),
        options(maximum_retry_attempts=1),
        [[1, 2, 3, 4], [2, 3, 4], [2, 3, 4]],
        [([2, 3, 4], EXHAUSTED, 2)],
    ),
    Capture(
        "F-30 F-31, report, retries 3: five sights, count four",
        (3, 4, 5),
        reports(5),
        options(maximum_retry_attempts=3),
        [[3, 4, 5], [5], [5], [5], [5]],
        [([5], EXHAUSTED, 4)],
    ),
    Capture(
        "F-32, a report at the first record is no progress",
        (1, 2),
        reports(1),
        options(maximum_retry_attempts=1),
        [[1, 2], [1, 2]],
        [([1, 2], EXHAUSTED, 2)],
    ),
    Capture(
        "F-34 F-35 F-36, raise and bisect, retries 1",
        (1, 2, 3, 4),
        raises_on(2),
        options(maximum_retry_attempts=1, bisect_batch_on_function_error=True),
        [[1, 2, 3, 4], [1, 2], [1], [2], [2], [3, 4]],
        [([2], EXHAUSTED, 2)],
    ),
    Capture(
        "F-36, report and bisect, retries 1",
        (1, 2, 3, 4),
        reports(2),
        options(maximum_retry_attempts=1, bisect_batch_on_function_error=True),
        [[1, 2, 3, 4], [2, 3, 4], [2], [2], [3, 4]],
        [([2], EXHAUSTED, 2)],
    ),
    Capture(
        "F-36, raise without bisect, retries 2",
        (1, 2, 3, 4),
        raises_on(2),
        options(maximum_retry_attempts=2),
        [[1, 2, 3, 4]] * 3,
        [([1, 2, 3, 4], EXHAUSTED, 3)],
    ),
    Capture(
        "F-37, a raise bisects although reporting is on",
        (1, 2),
        raises_on(2),
        options(
            maximum_retry_attempts=0,
            bisect_batch_on_function_error=True,
            report_batch_item_failures=True,
        ),
        [[1, 2], [1], [2]],
        [([2], EXHAUSTED, 1)],
    ),
    Capture(
        "F-38, bisect also without retries",
        (1, 2, 3, 4, 5),
        raises_on(4),
        options(maximum_retry_attempts=0, bisect_batch_on_function_error=True),
        [[1, 2, 3, 4, 5], [1, 2], [3, 4, 5], [3], [4, 5], [4], [5]],
        [([4], EXHAUSTED, 1)],
    ),
)


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda capture: capture.rule)
def test_a_lane_makes_the_recorded_calls(capture: Capture) -> None:
    story = play(batch(*capture.head), capture.handler, capture.given)
    assert story.calls == capture.calls
    assert story.documents == capture.documents
    left = {number for gone, _, _ in capture.documents for number in gone}
    assert story.done == [number for number in capture.head if number not in left]


def test_f8_a_call_that_never_reached_the_handler_spends_no_attempt() -> None:
    def throttled_thrice(given: list[int], call: int) -> Outcome:
        return NotInvoked("throttled") if call < 3 else Failed(RAISED)

    story = play(batch(1, 2), throttled_thrice, options(maximum_retry_attempts=1))
    assert len(story.calls) == 5
    assert story.documents == [([1, 2], EXHAUSTED, 2)]


def test_f8_a_call_that_never_reached_the_handler_does_not_bisect() -> None:
    given = options(bisect_batch_on_function_error=True)
    verdict = decide(batch(1, 2), NotInvoked("throttled", wait_seconds=7.0), given, at(10))
    assert verdict == Verdict(again=(batch(1, 2, not_before_seconds=17.0),))


def test_f11_a_minute_of_unlimited_retries_makes_about_eight_calls() -> None:
    head = batch(1, 2)  # created at the moment of the first call
    story = play(head, always_raises, options(maximum_record_age_in_seconds=60))
    assert 7 <= len(story.calls) <= 9
    assert story.documents == [([1, 2], TOO_OLD, len(story.calls))]  # F-43: the calls made


def test_f39_bisect_with_unlimited_retries_does_the_records_before_the_poison() -> None:
    given = options(bisect_batch_on_function_error=True)
    story = play(batch(1, 2, 3, 4), raises_on(2), given, calls=20)
    assert story.calls[:3] == [[1, 2, 3, 4], [1, 2], [1]]
    assert story.calls[3:] == [[2]] * 17
    assert story.done == [1]


def test_f40_age_is_checked_between_the_parts_of_a_split() -> None:
    head = batch(1, 2, 3)

    def slow(given: list[int], call: int) -> Outcome:
        return Failed(RAISED, retry_after_seconds=60.0)

    bisecting = options(
        maximum_retry_attempts=5,
        maximum_record_age_in_seconds=60,
        bisect_batch_on_function_error=True,
    )
    story = play(head, slow, bisecting)
    assert story.calls == [[1, 2, 3], [1]]
    assert story.documents == [([1], TOO_OLD, 1), ([2, 3], TOO_OLD, 1)]


OLD, FRESH = SERVICE_SECONDS - 100, SERVICE_SECONDS


@pytest.mark.parametrize(
    ("rule", "ages", "dropped", "kept"),
    [
        ("F-42, one old and five fresh", [100, 0, 0, 0, 0, 0], 1, 5),
        ("F-42, only the prefix is dropped", [0, 100, 100], 0, 3),
        ("F-42, an old one behind a fresh one stays", [100, 0, 100], 1, 2),
        ("F-41, at the limit is expired", [60], 1, 0),
        ("F-41, a moment before the limit is not", [59.999], 0, 1),
        ("F-42, all are old", [100, 100], 2, 0),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_records_that_are_too_old_are_dropped_from_the_front(
    rule: str, ages: list[float], dropped: int, kept: int
) -> None:
    aged = tuple(record(i, at_seconds=SERVICE_SECONDS - age) for i, age in enumerate(ages))
    head = Batch(0, aged, range(len(aged)), attempts=3)
    verdict = expire(head, options(maximum_record_age_in_seconds=60), at(0))
    assert len(verdict.discarded or ()) == dropped, rule
    assert sum(len(again) for again in verdict.again) == kept, rule
    assert all(again.attempts == 3 for again in verdict.again)
    assert verdict.done is None
    if dropped:
        assert verdict.reason is TOO_OLD


def test_f41_without_a_limit_nothing_is_too_old() -> None:
    head = batch(1, 2)
    assert expire(head, options(), at(1e9)) == Verdict(again=(head,))


def test_f41_age_is_measured_in_service_time_whatever_monotonic_time_says() -> None:
    head = batch(1)
    limited = options(maximum_record_age_in_seconds=60)
    assert expire(head, limited, Now(1e9, SERVICE_SECONDS)).discarded is None
    assert expire(head, limited, Now(0.0, SERVICE_SECONDS + 60)).discarded == head


def test_f43_a_record_that_was_never_tried_has_no_attempts() -> None:
    story = play(batch(1), always_raises, options(maximum_record_age_in_seconds=60), calls=0)
    assert story.calls == []
    old = Batch(0, (record(1, at_seconds=OLD),), range(1))
    story = play(old, always_raises, options(maximum_record_age_in_seconds=60))
    assert story.calls == []
    assert story.documents == [([1], TOO_OLD, 1)]


def test_f45_what_comes_behind_a_discarded_batch_goes_on() -> None:
    given = options(maximum_retry_attempts=0)
    verdict = decide(batch(1, 2), Failed(RAISED), given, at(0))
    assert verdict.discarded == batch(1, 2, attempts=1, last_failure=RAISED)
    assert verdict.again == ()


def test_a_handler_may_give_a_batch_up_at_once() -> None:
    verdict = decide(batch(1, 2), GivenUp(RAISED), options(), at(0))
    assert verdict.discarded == batch(1, 2, attempts=1, last_failure=RAISED)
    assert verdict.reason is DiscardReason.DISCARDED_BY_HANDLER
    assert verdict.again == ()


def test_f30_progress_starts_the_allowance_again_and_waits_before_the_rest() -> None:
    head = batch(1, 2, 3, attempts=2)
    verdict = decide(head, PartlyFailed(1, REPORTED), options(maximum_retry_attempts=2), at(100))
    (rest,) = verdict.again
    assert numbers(verdict.done or ()) == [1]
    assert (numbers(rest), rest.attempts, rest.last_failure) == ([2, 3], 0, REPORTED)
    assert list(rest.ordinals) == [1, 2]
    assert rest.not_before_seconds > 100


def test_a_handler_may_name_its_own_wait() -> None:
    (again,) = decide(batch(1), Failed(RAISED, retry_after_seconds=30.0), options(), at(5)).again
    assert again.not_before_seconds == 35.0


def test_f34_the_parts_of_a_split_go_at_once() -> None:
    given = options(bisect_batch_on_function_error=True)
    head = batch(1, 2, 3, attempts=1, last_failure=RAISED, not_before_seconds=2.0)
    first, second = decide(head, Failed(RAISED), given, at(5)).again
    assert (numbers(first), numbers(second)) == ([1], [2, 3])
    assert (first.attempts, second.attempts) == (0, 0)
    assert (first.last_failure, second.last_failure) == (None, None)
    assert max(first.not_before_seconds, second.not_before_seconds) <= 5


@pytest.mark.parametrize("tries", [1, 2, 3, 5, 8, 15, 16, 17, 1000, 10_001])
def test_f11_backoff_doubles_within_its_bounds(tries: int) -> None:
    longest = min(LONGEST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2.0 ** min(tries - 1, 30))
    waits = {backoff_seconds(tries, batch(number)) for number in range(200)}
    assert all(0.8 * longest <= wait <= longest for wait in waits)
    assert len(waits) > 100, "batches that fail together come back apart"


def test_f11_backoff_is_the_same_for_the_same_batch() -> None:
    assert backoff_seconds(3, batch(1, 2)) == backoff_seconds(3, batch(1, 2, 3))


# --- what holds for any answer --------------------------------------------------------------------


def outcomes(size: int) -> st.SearchStrategy[Outcome]:
    return st.one_of(
        st.just(Succeeded()),
        st.builds(PartlyFailed, st.integers(0, size - 1), st.just(REPORTED)),
        st.builds(Failed, st.just(RAISED), st.none() | st.floats(0, 100)),
        st.builds(NotInvoked, st.just("throttled"), st.none() | st.floats(0, 100)),
        st.just(GivenUp(RAISED)),
        records_ended(size),
    )


@st.composite
def records_ended(draw: st.DrawFn, size: int) -> RecordsEnded:
    """Each record is done, failed, discarded, invalid, or had no turn."""
    ends = draw(st.lists(st.sampled_from("dfxi-"), min_size=size, max_size=size))
    waits = draw(st.lists(st.none() | st.floats(0, 100), min_size=size, max_size=size))
    parts = {
        end: tuple(RecordFailure(i, RAISED, waits[i]) for i, e in enumerate(ends) if e == end)
        for end in "fxi"
    }
    done = tuple(index for index, end in enumerate(ends) if end == "d")
    return RecordsEnded(done, failed=parts["f"], discarded=parts["x"], invalid=parts["i"])


any_options = st.builds(
    options,
    maximum_retry_attempts=st.integers(-1, 3),
    bisect_batch_on_function_error=st.booleans(),
    maximum_record_age_in_seconds=st.sampled_from([-1, 60, 200]),
)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(data=st.data(), size=st.integers(1, 12), tuned=any_options)
def test_every_record_is_in_exactly_one_of_done_discarded_again(
    data: st.DataObject, size: int, tuned: MappingOptions
) -> None:
    moments = data.draw(st.lists(st.integers(-300, 0), min_size=size, max_size=size))
    aged = tuple(record(i, at_seconds=SERVICE_SECONDS + age) for i, age in enumerate(moments))
    head = Batch(0, aged, range(7, 7 + size), attempts=data.draw(st.integers(0, 4)))
    for verdict in (
        decide(head, data.draw(outcomes(size)), tuned, at(0)),
        expire(head, tuned, at(0)),
    ):
        parts = [verdict.done, verdict.discarded, *verdict.again]
        kept = [part for part in parts if part is not None]
        assert all(len(part) for part in kept)
        assert all(numbers(part) == sorted(numbers(part)) for part in kept), "order is kept"
        assert sorted(n for part in kept for n in numbers(part)) == list(range(size))
        if not any(part.tries for part in kept):
            assert [n for part in kept for n in numbers(part)] == list(range(size))
        for part in kept:
            assert [int(ordinal) - 7 for ordinal in part.ordinals] == numbers(part)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(data=st.data(), size=st.integers(1, 12), retries=st.integers(0, 3), bisect=st.booleans())
def test_with_a_finite_quota_every_lane_comes_to_its_end(
    data: st.DataObject, size: int, retries: int, bisect: bool
) -> None:
    tuned = options(maximum_retry_attempts=retries, bisect_batch_on_function_error=bisect)
    answers = st.sampled_from(["done", "raise", "report", "give up"])

    def handler(called: list[int], call: int) -> Outcome:
        match data.draw(answers):
            case "done":
                return Succeeded()
            case "raise":
                return Failed(RAISED)
            case "report":
                return PartlyFailed(data.draw(st.integers(0, len(called) - 1)), REPORTED)
            case _:
                return GivenUp(RAISED)

    story = play(batch(*range(size)), handler, tuned, calls=1000)
    gone = [number for document, _, _ in story.documents for number in document]
    assert sorted(story.done + gone) == list(range(size))
    assert story.done == sorted(story.done)
    assert len(story.calls) <= size * (retries + 2) * 2


INVALID = DiscardReason.INVALID_RECORD
MISFIT = LastFailure("id", "ImageMismatchError", "an item does not fit Order: total (missing)")


def with_misfits(*misfits: int, keys: int = 100) -> Handler:
    """What `.each` answers when these records do not fit: behind one its key has no turn."""

    def handler(called: list[int], _: int) -> Outcome:
        done, invalid, waiting = [], [], set[int]()
        for index, number in enumerate(called):
            if number % keys in waiting:
                continue
            if number in misfits:
                invalid.append(RecordFailure(index, MISFIT))
                waiting.add(number % keys)
            else:
                done.append(index)
        return RecordsEnded(tuple(done), invalid=tuple(invalid)) if invalid else Succeeded()

    return handler


@pytest.mark.parametrize(
    "given",
    [
        options(on_failure="file:x"),
        options(on_failure="file:x", on_invalid="discard"),
        options(on_invalid="discard"),
    ],
    ids=str,
)
def test_f7_an_invalid_record_leaves_at_its_first_call_and_the_others_go_on(
    given: MappingOptions,
) -> None:
    story = play(batch(1, 2, 3, 4), with_misfits(1, 3, keys=2), given)
    assert story.calls == [[1, 2, 3, 4], [3]]
    assert (story.done, story.seconds) == ([2, 4], 0.0)
    assert story.documents == [([1], INVALID, 1), ([3], INVALID, 1)]


def test_f7_what_waits_behind_an_invalid_record_of_its_key_comes_after_its_document() -> None:
    verdict = decide(
        batch(1, 2, 3),
        RecordsEnded((2,), invalid=(RecordFailure(0, MISFIT),)),
        options(on_failure="file:x"),
        at(7),
    )
    given_up, left = verdict.again
    assert (numbers(given_up), given_up.given_up, given_up.last_failure) == ([1], INVALID, MISFIT)
    assert (numbers(left), left.attempts, left.not_before_seconds) == ([2], 0, 7.0)


@pytest.mark.parametrize(
    "given", [options(), options(on_failure="file:x", on_invalid="retry")], ids=str
)
def test_f7_under_retry_an_invalid_record_is_called_again_and_keeps_its_reason(
    given: MappingOptions,
) -> None:
    verdict = decide(
        batch(1, 2), RecordsEnded((1,), invalid=(RecordFailure(0, MISFIT),)), given, at(5)
    )
    (left,) = verdict.again
    assert (numbers(left), left.attempts, left.given_up) == ([1], 1, None)
    assert (left.last_failure, left.not_before_seconds > 5) == (MISFIT, True)


@pytest.mark.parametrize(
    ("failed", "wait_seconds"),
    [((), 300.0), ((RecordFailure(1, RAISED, 7.0),), 7.0)],
    ids=["alone", "with one that failed"],
)
def test_b6_under_retry_an_invalid_record_is_tried_every_five_minutes_and_holds_up_no_other(
    failed: tuple[RecordFailure, ...], wait_seconds: float
) -> None:
    outcome = RecordsEnded((), failed=failed, invalid=(RecordFailure(0, MISFIT),))
    verdict = decide(batch(1, 2, 3), outcome, options(on_invalid="retry"), at(5))
    (again,) = verdict.again
    assert numbers(again) == [1, 2, 3]
    assert again.not_before_seconds == 5 + wait_seconds


def test_f7_under_retry_an_invalid_record_spends_the_allowance_of_any_other() -> None:
    given = options(on_invalid="retry", maximum_retry_attempts=1)
    story = play(batch(1, 2), with_misfits(2), given)
    assert story.calls == [[1, 2], [2]]
    assert story.documents == [([2], EXHAUSTED, 2)]


@settings(derandomize=True, deadline=None, max_examples=200)
@given(
    size=st.integers(1, 10),
    poison=st.frozensets(st.integers(0, 9), max_size=4),
    retries=st.integers(0, 3),
    bisect=st.booleans(),
    reporting=st.booleans(),
)
def test_f47_a_lane_makes_the_calls_of_the_reference_loop(
    size: int, poison: frozenset[int], retries: int, bisect: bool, reporting: bool
) -> None:
    tuned = options(maximum_retry_attempts=retries, bisect_batch_on_function_error=bisect)
    handler = reports(*poison) if reporting else raises_on(*poison)
    story = play(batch(*range(size)), handler, tuned)
    calls, documents = reference(list(range(size)), handler, retries, bisect=bisect)
    assert story.calls == calls
    assert [(gone, count) for gone, _, count in story.documents] == documents


def reference(
    head: list[int], handler: Handler, retries: int, *, bisect: bool
) -> tuple[list[list[int]], list[tuple[list[int], int]]]:
    """The loop that the contract gives in words, written apart from the rewrite rule."""
    work = [head]
    seen: list[list[int]] = []
    documents: list[tuple[list[int], int]] = []
    while work:
        left, calls = work.pop(), 0
        while left:
            outcome = handler(left, len(seen))
            seen.append(left)
            calls += 1
            if isinstance(outcome, Succeeded):
                break
            index = outcome.index if isinstance(outcome, PartlyFailed) else 0
            if index > 0:
                left, calls = left[index:], 0
                continue
            if bisect and len(left) > 1:
                half = len(left) // 2
                work += [left[half:], left[:half]]
                break
            if calls > retries:
                documents.append((left, calls))
                break
    return seen, documents


def test_the_counts_of_a_batch_go_with_both_of_its_parts() -> None:
    head = replace(batch(1, 2, 3), attempts=2, last_failure=RAISED)
    first, second = head.split(1)
    assert (numbers(first), numbers(second)) == ([1], [2, 3])
    assert (first.attempts, second.attempts) == (2, 2)


# --- records that end one by one ------------------------------------------------------------------


def one_by_one(*poison: int, discards: Sequence[int] = (), keys: int = 100) -> Handler:
    """As `.each` calls: record n has the key n % keys; behind a failed record its key has no turn."""

    def handler(called: list[int], call: int) -> Outcome:
        done, failed, discarded = [], [], []
        blocked: set[int] = set()
        for index, number in enumerate(called):
            if number % keys in blocked:
                continue
            if number in discards:
                discarded.append(RecordFailure(index, RAISED))
            elif number in poison:
                failed.append(RecordFailure(index, RAISED))
                blocked.add(number % keys)
            else:
                done.append(index)
        if len(done) == len(called):
            return Succeeded()
        return RecordsEnded(tuple(done), tuple(failed), tuple(discarded))

    return handler


def test_a_record_that_fails_is_called_again_without_its_neighbours_and_leaves_alone() -> None:
    story = play(batch(1, 2, 3, 4), one_by_one(2), options(maximum_retry_attempts=2))
    assert story.calls == [[1, 2, 3, 4], [2], [2]]
    assert story.done == [1, 3, 4]
    assert story.documents == [([2], EXHAUSTED, 3)]


def test_each_record_has_the_whole_allowance_for_itself() -> None:
    """3 waits for 1, of the same key, and is not tried meanwhile."""
    story = play(batch(1, 2, 3, 4), one_by_one(1, 3, keys=2), options(maximum_retry_attempts=1))
    assert story.calls == [[1, 2, 3, 4], [1, 3], [3], [3]]
    assert story.documents == [([1], EXHAUSTED, 2), ([3], EXHAUSTED, 2)]


def test_a_record_that_is_discarded_leaves_before_the_others_are_tried_again() -> None:
    (given_up, left) = decide(
        batch(1, 2, 3),
        RecordsEnded((1,), (RecordFailure(0, RAISED, 9.0),), (RecordFailure(2, REPORTED),)),
        options(),
        at(10),
    ).again
    assert numbers(given_up) == [3]
    verdict = expire(given_up, options(), at(10))
    assert (verdict.discarded, verdict.reason) == (given_up, DiscardReason.DISCARDED_BY_HANDLER)
    assert (given_up.attempts, given_up.last_failure) == (1, REPORTED)
    assert (numbers(left), left.attempts, left.not_before_seconds) == ([1], 1, 19.0)


def test_the_longest_wait_that_a_record_asks_for_holds_them_all() -> None:
    failed = (RecordFailure(0, RAISED), RecordFailure(1, REPORTED, 30.0))
    (left,) = decide(batch(1, 2), RecordsEnded((), failed), options(), at(5)).again
    assert left.not_before_seconds == 35.0
    assert left.last_failure == RAISED


def test_a_call_that_tried_nothing_costs_no_attempt_and_waits() -> None:
    (left,) = decide(batch(1, 2), RecordsEnded(()), options(), at(5)).again
    assert (left.attempts, left.tries) == (0, ())
    assert left.not_before_seconds > 5


def test_what_had_no_turn_goes_on_at_once_when_nothing_failed() -> None:
    verdict = decide(batch(1, 2), RecordsEnded((0,)), options(), at(5))
    (left,) = verdict.again
    assert (numbers(verdict.done or ()), numbers(left)) == ([1], [2])
    assert (left.attempts, left.not_before_seconds) == (0, 5.0)


def test_records_of_an_each_that_are_too_old_leave_one_by_one() -> None:
    aged = tuple(record(i, at_seconds=OLD) for i in range(2))
    head = Batch(0, aged, range(2), attempts=3, tries=(1, 3))
    limited = options(maximum_record_age_in_seconds=60)
    first = expire(head, limited, at(0))
    assert (numbers(first.discarded or ()), first.reason) == ([0], TOO_OLD)
    assert first.discarded is not None
    assert first.discarded.attempts == 1
    second = expire(first.again[0], limited, at(0))
    assert second.discarded is not None
    assert (numbers(second.discarded), second.discarded.attempts) == ([1], 3)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(
    size=st.integers(1, 10),
    poison=st.frozensets(st.integers(0, 9)),
    discards=st.frozensets(st.integers(0, 9), max_size=2),
    keys=st.integers(1, 5),
    retries=st.integers(0, 3),
    bisect=st.booleans(),
)
def test_one_by_one_every_good_record_is_done_once_and_every_bad_one_leaves_alone(
    size: int,
    poison: frozenset[int],
    discards: frozenset[int],
    keys: int,
    retries: int,
    bisect: bool,
) -> None:
    tuned = options(maximum_retry_attempts=retries, bisect_batch_on_function_error=bisect)
    handler = one_by_one(*poison, discards=sorted(discards), keys=keys)
    story = play(batch(*range(size)), handler, tuned, calls=1000)
    bad = (poison | discards) & set(range(size))
    assert sorted(story.done) == sorted(set(range(size)) - bad)
    assert sorted(n for document, _, _ in story.documents for n in document) == sorted(bad)
    for document, reason, count in story.documents:
        (number,) = document
        told = DiscardReason.DISCARDED_BY_HANDLER if number in discards else EXHAUSTED
        assert (reason, count) == (told, 1 if number in discards else retries + 1)
    for key in range(keys):
        assert [n for n in story.done if n % keys == key] == [
            n for n in sorted(story.done) if n % keys == key
        ], "in order within a key"


def test_one_by_one_a_call_that_fails_as_a_whole_counts_for_each_record() -> None:
    head = batch(0, 1, attempts=1, tries=(1, 0))
    verdict = decide(head, Failed(RAISED), options(maximum_retry_attempts=1), at(0))
    given_up, left = verdict.again
    assert (numbers(given_up), given_up.given_up, given_up.attempts) == ([0], EXHAUSTED, 2)
    assert (numbers(left), left.given_up, list(left.tries)) == ([1], None, [1])
