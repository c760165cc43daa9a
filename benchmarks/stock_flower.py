"""How long one round takes with stock Flower: its own SuperLink, SuperNodes and subprocesses.

python -m benchmarks.stock_flower [--nodes 5] [--rounds 5]

Everything is as Flower ships it but the addresses: TLS on loopback, every message answered by a
fresh ClientApp process, and Flower's own polling (a SuperNode for messages and a ServerApp for
replies every 3 s, a SuperExec for tasks every second). Questions and answers are tiny, so what is
measured is the round itself. The first round also installs the app on every node. Plain HTTP
remains where Flower has it by default: between a SuperNode and its own ClientApp.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import datetime as dt
import ipaddress
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from collections.abc import Iterator

HOST = "127.0.0.1"
ROUND_SECONDS = 60
ENVIRONMENT = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    "NO_PROXY": HOST,
}
_PR_SET_CHILD_SUBREAPER = 36

PROJECT = """\
[project]
name = "stock"
version = "0.1.0"
description = "Asks every node for a few bytes."
license = "Apache-2.0"
dependencies = []

[tool.flwr.app]
publisher = "benchmark"

[tool.flwr.app.components]
serverapp = "stock.app:server_app"
clientapp = "stock.app:client_app"

[tool.flwr.app.config]
nodes = 0
rounds = 0
patience = 0
report = ""
"""

APP = '''\
"""Every node answers a query with 300 random bytes; a line of JSON a round goes to the report."""

import json
import secrets
import time
import traceback
from pathlib import Path

from flwr.app import ConfigRecord, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp

client_app = ClientApp()
server_app = ServerApp()


@client_app.query()
def answer(message, context):
    body = ConfigRecord({"body": secrets.token_bytes(300)})
    return Message(RecordDict({"answer": body}), reply_to=message)


@server_app.main()
def main(grid, context):
    with Path(context.run_config["report"]).open("a") as report:
        try:
            for line in rounds(grid, context.run_config):
                report.write(json.dumps(line) + "\\n")
                report.flush()
        except Exception:
            report.write(json.dumps({"error": traceback.format_exc()}) + "\\n")
            raise


def rounds(grid, config):
    while len(nodes := list(grid.get_node_ids())) < config["nodes"]:
        time.sleep(0.5)
    for number in range(config["rounds"]):
        question = RecordDict({"question": ConfigRecord({"round": number})})
        messages = [Message(question, dst_node_id=node, message_type="query") for node in nodes]
        began = time.perf_counter()
        replies = list(grid.send_and_receive(messages, timeout=config["patience"]))
        seconds = time.perf_counter() - began
        answers = [reply.content["answer"]["body"] for reply in replies if not reply.has_error()]
        yield {"seconds": seconds, "answers": len(answers)}
'''


class BenchmarkFailed(Exception):
    """Flower did not get through; its last words are in the message."""


class FlowerProcesses:
    """Programs of this environment in sessions of their own; leaving ends them and all they began.

    Flower's SuperLink puts its SuperExec in yet another session, so that a group's end is not
    everybody's. What was begun here is known by FLWR_HOME; orphans become our children.
    """

    def __init__(self, folder: Path) -> None:
        """Takes the folder whose name, in a program's environment, tells that it is ours."""
        self._folder = folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        for ending in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(ending, lambda number, _frame: sys.exit(128 + number))
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        return self

    def __exit__(self, *_: object) -> None:
        for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(ending, signal.SIG_IGN)
        self._stop()
        self._sweep()

    def start(self, name: str, script: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Starts a console script as on a machine of its own; what it prints goes to a log."""
        scripts = Path(sys.executable).parent
        home = self._folder / name
        home.mkdir(exist_ok=True)
        path = os.pathsep.join([str(scripts), os.environ.get("PATH", os.defpath)])
        with (self._folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(  # noqa: S603  (Flower's own console scripts)
                [scripts / script, *arguments],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=home,
                env={**os.environ, **ENVIRONMENT, "PATH": path, "FLWR_HOME": str(home)},
                start_new_session=True,  # Ctrl-C reaches this script only, which ends them all
            )
        self._running[name] = process
        return process

    def check(self) -> None:
        """Raises BenchmarkFailed if a program ended badly, or ended that should not."""
        for name, process in self._running.items():
            if process.poll() is not None and (process.returncode or name != "run"):
                raise BenchmarkFailed(f"{name} ended with {process.returncode}\n{self.words()}")

    def words(self) -> str:
        """The last words of every program."""
        logs = sorted(self._folder.glob("*.log"))
        return "\n".join(f"--- {log.name}\n{log.read_text()[-1500:]}" for log in logs)

    def _stop(self) -> None:
        """Ends what was started here, asking first."""
        for process in self._running.values():
            process.terminate()
        end = time.monotonic() + 10
        for process in self._running.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, end - time.monotonic()))
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _sweep(self) -> None:
        """Ends and reaps what those had begun themselves and left behind."""
        end = time.monotonic() + 10
        while (left := self._left()) and time.monotonic() < end:
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)
        with contextlib.suppress(ChildProcessError):
            while time.monotonic() < end:
                if not os.waitpid(-1, os.WNOHANG)[0]:
                    time.sleep(0.05)
        if left:
            sys.stderr.write(f"still running: {left}\n")

    def _left(self) -> list[int]:
        """Processes begun here that still run; those that wait to be reaped have no environment."""
        mark = f"FLWR_HOME={self._folder}{os.sep}".encode()
        left = []
        for environment in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if mark in environment.read_bytes():
                    left.append(int(environment.parent.name))
        return left


def main() -> None:
    """Prints the seconds of each round, then their median, minimum and maximum."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--limit", type=float, default=280.0, help="seconds for everything")
    options = parser.parse_args()
    _print(
        f"flwr {version('flwr')}, {options.nodes} nodes, TLS on loopback, no node authentication"
    )
    _print(f"{os.cpu_count()} cores, load before: {os.getloadavg()[0]:.1f}")
    began, seconds = time.monotonic(), list[float]()
    try:
        with (
            tempfile.TemporaryDirectory(prefix="stock-flower-") as folder,
            FlowerProcesses(Path(folder)) as processes,
        ):
            report = _begin(processes, Path(folder), options.nodes, options.rounds)
            for line in _lines(processes, report, began + options.limit, options.rounds):
                _check(line, options.nodes)
                seconds.append(float(str(line["seconds"])))
                _print(f"round {len(seconds):3d}{seconds[-1]:10.2f} s")
    except BenchmarkFailed as failure:
        sys.exit(f"stock Flower did not get through: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)
    _print(
        f"seconds a round: median {statistics.median(seconds):.2f}, "
        f"min {min(seconds):.2f}, max {max(seconds):.2f}"
    )


def _begin(processes: FlowerProcesses, folder: Path, nodes: int, rounds: int) -> Path:
    """Starts the SuperLink, the SuperNodes and the run; returns the report's place."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    _write_certificate(certificate, key)
    port, *node_ports = _free_ports(1 + nodes)
    processes.start(
        "superlink", "flower-superlink", "--host", HOST, "--port", str(port),
        "--ssl-certfile", str(certificate), "--ssl-keyfile", str(key),
        "--ssl-ca-certfile", str(certificate),
    )  # fmt: skip
    _wait_for(processes, port)
    for number, node_port in enumerate(node_ports):
        processes.start(
            f"supernode-{number}", "flower-supernode", "--superlink", f"{HOST}:{port}",
            "--root-certificates", str(certificate), "--host", HOST, "--port", str(node_port),
        )  # fmt: skip
    app, report = folder / "stock-app", folder / "report.jsonl"
    (app / "stock").mkdir(parents=True)
    (app / "pyproject.toml").write_text(PROJECT)
    (app / "stock" / "__init__.py").touch()
    (app / "stock" / "app.py").write_text(APP)
    (folder / "run").mkdir()
    connection = {"address": f"{HOST}:{port}", "root-certificates": str(certificate)}
    toml = [f"{name} = {json.dumps(value)}" for name, value in connection.items()]
    (folder / "run" / "config.toml").write_text("\n".join(["[superlink.stock]", *toml]) + "\n")
    config = {"nodes": nodes, "rounds": rounds, "patience": ROUND_SECONDS, "report": str(report)}
    values = " ".join(f"{name}={json.dumps(value)}" for name, value in config.items())
    processes.start("run", "flwr", "run", str(app), "stock", "--run-config", values)
    return report


def _lines(
    processes: FlowerProcesses, report: Path, end: float, count: int
) -> Iterator[dict[str, object]]:
    """The ServerApp's lines, as they come."""
    seen = 0
    while seen < count:
        whole = report.read_text().split("\n")[:-1] if report.exists() else []
        for line in whole[seen:]:
            yield json.loads(line)
        seen = len(whole)
        processes.check()
        if seen < count and time.monotonic() > end:
            raise BenchmarkFailed(f"out of time after {seen} rounds\n{processes.words()}")
        time.sleep(0.2)


def _check(line: dict[str, object], nodes: int) -> None:
    if "error" in line:
        raise BenchmarkFailed(f"the ServerApp failed\n{line['error']}")
    if line["answers"] != nodes:
        raise BenchmarkFailed(f"got {line['answers']} answers, expected {nodes}")


def _wait_for(processes: FlowerProcesses, port: int) -> None:
    """Waits until the SuperLink listens."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        processes.check()
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
            return
        time.sleep(0.1)
    raise BenchmarkFailed(f"nobody listens\n{processes.words()}")


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind((HOST, 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def _write_certificate(certificate: Path, key: Path) -> None:
    """A self-signed P-256 certificate for loopback; it is its own authority."""
    secret = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stock-flower")])
    at = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(secret.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(at - dt.timedelta(days=1))
        .not_valid_after(at + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))]),
            critical=False,
        )
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(secret, hashes.SHA256())
    )
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key.touch(mode=0o600)
    key.write_bytes(
        secret.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
