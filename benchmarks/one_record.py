"""One record, walked: which files and how many calls it takes from the bytes of the reply to the saved checkpoint.

Runs `triggerkit run --burst` over a table with one item and a SQLite state file, in a process of its own in which
every call of the package is noted. Counted are the calls between the last read of the socket before the handler
and the return of `LeaseStore.advance`, on all threads. Calls that another task makes meanwhile are among them.

    python benchmarks/one_record.py [--calls] [--rounds 5]

Printed: files and calls, the median of the rounds; with `--calls` also the calls of each file in the order
in which the record came there.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from types import FrameType

from worker import server

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from components import dummy_client

APP = """
from triggerkit import Triggers
handlers = Triggers("walk")

@handlers.on("dynamodb://walk")
def walked_handler(event, context):
    pass
"""

READ, HANDLED, SAVED = "read", "handled", "saved"


def trace(result: Path, arguments: list[str]) -> None:
    """Run the command line under a profile function and write what it noted as JSON."""
    import triggerkit
    from triggerkit.cli.main import main

    package = f"{Path(triggerkit.__file__).parent}{os.sep}"
    notes: list[str] = []

    def note(frame: FrameType, event: str, _argument: object) -> None:
        if event not in ("call", "return"):
            return
        code = frame.f_code
        if event == "return":
            if code.co_name == "advance" and "lease_stores" in code.co_filename:
                notes.append(SAVED)
        elif code.co_filename.startswith(package):
            notes.append(f"{code.co_filename.removeprefix(package)}:{code.co_name}")
        elif code.co_name == "_read_ready":
            notes.append(READ)
        elif code.co_name == "walked_handler":
            notes.append(HANDLED)

    threading.setprofile(note)
    sys.setprofile(note)
    sys.argv = ["triggerkit", *arguments]
    try:
        main()
    finally:
        sys.setprofile(None)
        result.write_text(json.dumps(notes))


def walked(notes: list[str]) -> list[str]:
    """The calls from the reply to the saved checkpoint."""
    handled = notes.index(HANDLED)
    start = max(at for at in range(handled) if notes[at] == READ)
    end = notes.index(SAVED, handled)
    return [note for note in notes[start:end] if ":" in note]


def one_walk(endpoint_url: str, folder: Path) -> list[str]:
    """The calls of one run over the whole stream."""
    environ = os.environ | {
        "AWS_ENDPOINT_URL": endpoint_url,
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "us-east-1",
        "PYTHONPATH": str(folder),
    }
    for file in folder.glob("state.db*"):
        file.unlink()
    result = folder / "notes.json"
    state = f"sqlite:///{folder / 'state.db'}"
    command = [sys.executable, str(Path(__file__).resolve()), "--trace", str(result)]
    command += ["run", "app:handlers", "--burst", "-q", "--state", state]
    subprocess.run(command, cwd=folder, env=environ, check=True)
    notes: list[str] = json.loads(result.read_text())
    return walked(notes)


def main() -> None:
    """Print the walk."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", action="store_true", help="print the calls of each file")
    given = parser.parse_args()
    with server(emulator=True) as endpoint_url, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "app.py").write_text(APP)
        client = dummy_client("dynamodb", endpoint_url)
        client.create_table(
            TableName="walk",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        )
        client.put_item(TableName="walk", Item={"id": {"S": "one"}})
        walks = [one_walk(endpoint_url, folder) for _ in range(given.rounds)]
    walk = sorted(walks, key=len)[len(walks) // 2]
    counts: dict[str, dict[str, int]] = {}
    for call in walk:
        file, _, function = call.partition(":")
        counts.setdefault(file, {}).setdefault(function, 0)
        counts[file][function] += 1
    print(f"{len(counts)} files, {len(walk)} calls (median of {given.rounds} walks)")
    if given.calls:
        for file, functions in counts.items():
            calls = "  ".join(f"{function} {count}" for function, count in functions.items())
            print(f"{file:<40} {sum(functions.values()):>4}  {calls}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--trace"]:
        trace(Path(sys.argv[2]), sys.argv[3:])
    else:
        main()
