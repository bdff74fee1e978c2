"""A running `triggerkit run` whose credentials are rotated goes on over the next rollover."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from aws.guarded import TABLE_NAME, Way, assumed_role, credentials_file, guarded, laid_out
from e2e.harness import Place

APP = """
import os
from triggerkit import Triggers

handlers = Triggers("rotation")

@handlers.on(os.environ["SOURCE"], starting_position="TRIM_HORIZON")
def note(event, context):
    for record in event["Records"]:
        print("noted", record["dynamodb"]["Keys"]["pk"]["S"], flush=True)
"""


@pytest.mark.parametrize(
    ("way", "transport"),
    [(credentials_file, "fast"), (credentials_file, "botocore"), (assumed_role, "fast")],
    ids=lambda given: given if isinstance(given, str) else given.__name__,
)
def test_a3_a_running_worker_goes_on_with_rotated_credentials(
    way: Way, transport: str, place: Place, tmp_path: Path
) -> None:
    with guarded() as aws:
        keys = laid_out(aws, tmp_path, way)
        query = f"?endpoint_url={aws.url}&transport={transport}{keys.query}"
        place.write("app.py", APP)
        place.environment |= {**keys.environment, "SOURCE": f"dynamodb://{TABLE_NAME}{query}"}
        aws.write("a")
        arguments = ("run", "app:handlers", "--state", place.state, "--log-format", "json")
        with place.running(*arguments) as worker:

            def until_noted(*names: str) -> None:
                wanted = [f"noted {name}" for name in names]

                def noted() -> list[str]:
                    return [entry["message"] for entry in worker.logged("handler_printed")]

                worker.until(lambda: noted() == wanted, str(wanted))

            until_noted("a")
            keys.rotate()
            aws.roll()
            aws.write("b")
            until_noted("a", "b")
            keys.invalidate()
            aws.roll()
            aws.write("c")
            worker.until(lambda: sum(aws.refused.values()) > 3, "calls are refused")
            keys.publish()
            until_noted("a", "b", "c")
            worker.signal(signal.SIGTERM)
            assert worker.wait().code == 0
