"""How often a record is called: its whole quota, and no call more; then it is discarded, and not before.

Progress by a partial response restores the quota (F-30), a split spends none and gives both parts the whole
(F-34, F-35), and a call that was not made spends none. A batch that is called again is the same batch, or what
is left of it. The quota is counted within a tenure: the next owner starts again.
"""

from __future__ import annotations

from collections.abc import Sequence

from proof.facts import CallEnding, Number, require
from proof.invariants.tenures import Stay, Tried

from triggerkit.core.model import DiscardReason, Record
from triggerkit.core.options import MappingOptions


class Quotas:
    """The retry quota of every record, from the ends of its calls alone."""

    def __init__(self, options: MappingOptions) -> None:
        self._options = options
        self._batches = 0

    def call_started(self, stay: Stay, records: Sequence[Record], now_seconds: float) -> None:
        """A call begins; `now_seconds` by the clock of its worker."""
        numbers = [record.sequence_number for record in records]
        limit = self._options.maximum_retry_attempts
        batches = {stay.tried[number].together if number in stay.tried else 0 for number in numbers}
        require(len(batches) == 1, "F", f"{numbers} are of several batches")
        for number in numbers:
            require(number not in stay.given_up, "F", f"{number} was given up and is called again")
            tried = stay.tried.get(number)
            if tried is None or not tried.is_sure:
                continue
            within = limit < 0 or tried.spent <= limit
            require(within, "F", f"{number} is called again after {tried.spent} failed calls")
            require(len(numbers) <= tried.most, "F", f"{numbers} were to be split")
            is_due = now_seconds >= tried.not_before_seconds - 1e-6
            require(is_due, "F", f"{number} is called again before the wait that was asked for")

    def call_ended(
        self, stay: Stay, records: Sequence[Record], ending: CallEnding, now_seconds: float
    ) -> None:
        """A call came to its end; what is left of its batch may be called again."""
        numbers = [record.sequence_number for record in records]
        failed = [numbers[index] for index in ending.failed]
        gone = {numbers[index] for index in (*ending.done, *ending.given_up)}
        left = [number for number in numbers if number not in gone]
        is_alone, is_sure = self._nature(stay, numbers, ending)
        limit = self._options.maximum_retry_attempts
        self._batches += 1
        for number in left:
            old = stay.tried.get(number, Tried(0, len(numbers)))
            stay.tried[number] = Tried(
                together=self._batches,
                most=len(left),
                spent=old.spent,
                alone=is_alone,
                is_sure=is_sure,
            )
        for number in failed:
            self._failed(stay, number, is_partly=bool(ending.done))
        stays = [number for number in failed if number in stay.tried]
        if not failed or any(limit < 0 or stay.tried[number].spent <= limit for number in stays):
            for number in left:  # a batch waits for those of it that are tried again
                stay.tried[number].not_before_seconds = now_seconds + ending.wait_seconds
        bisects = self._options.bisect_batch_on_function_error and is_sure and not is_alone
        if bisects and failed and not ending.done and not ending.given_up and len(numbers) > 1:
            self._split(stay, numbers)

    def _nature(
        self, stay: Stay, numbers: Sequence[Number], ending: CallEnding
    ) -> tuple[bool, bool]:
        """Whether these records end one by one, and whether that is known."""
        before = [stay.tried[number] for number in numbers if number in stay.tried]
        is_alone = any(tried.alone for tried in before)
        is_sure = all(tried.is_sure for tried in before)
        if not ending.done and not ending.failed:
            return is_alone, is_sure
        options = self._options
        if ending.one_by_one is None and len(numbers) > 1:
            both = options.report_batch_item_failures or options.bisect_batch_on_function_error
            is_sure = is_sure and not both
            return is_alone or bool(ending.done and ending.failed), is_sure
        return is_alone or bool(ending.one_by_one), is_sure

    def _failed(self, stay: Stay, number: Number, *, is_partly: bool) -> None:
        tried = stay.tried.get(number)
        if tried is None:
            return  # given up
        tried.spent = 0 if is_partly and not tried.alone else tried.spent + 1

    def _split(self, stay: Stay, numbers: Sequence[Number]) -> None:
        half = len(numbers) // 2
        for part in (numbers[:half], numbers[half:]):
            self._batches += 1
            for number in part:
                tried = stay.tried[number]
                tried.together, tried.most, tried.spent = self._batches, len(part), 0
                tried.not_before_seconds = float("-inf")

    def given_up(
        self, stay: Stay, numbers: Sequence[Number], reason: DiscardReason, calls: int | None
    ) -> None:
        """A failure record was delivered, which tells so many calls."""
        if reason is not DiscardReason.RETRY_ATTEMPTS_EXHAUSTED:
            return
        whole = self._options.maximum_retry_attempts + 1
        for number in numbers:
            tried = stay.tried.get(number)
            spent = 0 if tried is None else tried.spent
            if tried is None or tried.is_sure:
                require(spent == whole, "F", f"{number} given up after {spent} calls of {whole}")
                fine = calls is None or calls == spent
                require(fine, "F", f"{number}: its failure record tells {calls} calls, not {spent}")
