"""kinesalite 3.3.3 for tests: a second opinion on Kinesis, above all on errors and on what retention trims.

It knows neither stream ARNs, shard filters nor UpdateShardCount. It is installed by npm with what it depends on,
scripts off; it listens on all interfaces and has no flag for less: run it where that is no harm.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from components import (
    FETCH_TIMEOUT_SECONDS,
    ComponentMissing,
    components_folder,
    free_port,
    locked,
    skip_or_fail,
)
from kinesis_mock import running_node

KINESALITE = "kinesalite@3.3.3"
SCRIPT = Path("node_modules/kinesalite/cli.js")


def installed_folder() -> Path:
    """Return the folder that kinesalite is installed in.

    Raises:
        ComponentMissing: Node.js or npm is absent, or it cannot be installed.
    """
    for command in ("node", "npm"):
        if shutil.which(command) is None:
            raise ComponentMissing(f"{command} is not on PATH; kinesalite needs Node.js and npm")
    kept = components_folder() / KINESALITE.replace("@", "-")
    kept.parent.mkdir(parents=True, exist_ok=True)
    with locked(kept.parent / f"{kept.name}.lock"):
        if not (kept / SCRIPT).exists():
            _install(kept)
    return kept


def _install(kept: Path) -> None:
    with tempfile.TemporaryDirectory(dir=kept.parent) as scratch:
        folder = Path(scratch) / "installed"
        folder.mkdir()
        # Its database has its compiled part in the package, so no script need run.
        options = ["--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
        command = ["npm", "install", KINESALITE, "--prefix", str(folder), *options]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=FETCH_TIMEOUT_SECONDS
            )
        except subprocess.TimeoutExpired as late:
            raise ComponentMissing(f"`npm install {KINESALITE}` did not end in time") from late
        if done.returncode != 0 or not (folder / SCRIPT).exists():
            reason = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no output"]
            raise ComponentMissing(f"`npm install {KINESALITE}` failed: {reason[0]}")
        shutil.rmtree(kept, ignore_errors=True)
        folder.rename(kept)


@contextlib.contextmanager
def running_kinesalite(environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """Yield the URL of a started kinesalite; skip (or, under CI, fail) when it cannot be had."""
    try:
        folder = installed_folder()
    except ComponentMissing as missing:
        skip_or_fail(missing)
        raise
    port = free_port()
    waits = [f"--{change}StreamMs=5" for change in ("create", "update", "delete")]
    arguments = [str(SCRIPT), "--port", str(port), "--shardLimit", "100000", *waits]
    with running_node(arguments, folder, environment or {}, port) as url:
        yield url


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{installed_folder()}\n")
    except ComponentMissing as absent:
        sys.exit(str(absent))
