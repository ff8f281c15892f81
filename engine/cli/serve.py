"""circuit-explorer serve: the dashboard, in a process of its own."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from engine.errors import CircuitExplorerError, RequestError
from engine.instruments.command import RunsDir
from engine.runs.store import RunStore
from engine.shipped import check_shipped, shipped

MAIN = Path(__file__).resolve().parents[2] / "app" / "main.py"
_PORTS = 50  # to try after the one asked for
_PATIENCE = 20  # seconds for the dashboard to end


def serve(
    port: Annotated[
        int, typer.Option(help="If it is busy, the next free one is taken.", min=1, max=65535)
    ] = 8501,
    host: Annotated[str, typer.Option(help="Address to listen at; 0.0.0.0 for every network.")] = "127.0.0.1",
    runs_dir: RunsDir = None,
) -> None:
    """Serve the dashboard until Ctrl-C."""
    check_shipped()
    free = free_port(host, port)
    if free != port:
        print(f"Port {port} is busy, {free} is taken instead")
    print(f"Circuit Explorer: http://{host}:{free} (Ctrl-C stops it)", flush=True)
    options = {
        "server.address": host,
        "server.port": free,
        "server.headless": "true",
        "browser.gatherUsageStats": "false",
        "logger.hideWelcomeMessage": "true",
    }
    command = [sys.executable, "-m", "streamlit", "run", str(MAIN)]
    command += [f"--{name}={value}" for name, value in options.items()]
    environment = os.environ | {"CIRCUIT_EXPLORER_RUNS": str(RunStore(runs_dir).user_dir)}
    # From the folder where the dashboard's configuration lies. In a process group of its own,
    # so that a Ctrl-C comes here alone, and the dashboard is told to end in the way that it takes quietly.
    dashboard = subprocess.Popen(command, cwd=shipped(".streamlit").parent, env=environment, process_group=0)
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.default_int_handler)
    try:
        status = dashboard.wait()
    except KeyboardInterrupt:
        _stop(dashboard)
        return
    if status != 0:
        raise CircuitExplorerError(f"the dashboard ended with status {status}")


def free_port(host: str, port: int) -> int:
    """Return `port`, or the next port that is free at `host`.

    Raises:
        RequestError: none of the next ports is free, or there is no such host.
    """
    last = min(port + _PORTS, 65535)
    for candidate in range(port, last + 1):
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((host, candidate))
            except socket.gaierror as error:
                raise RequestError(f"no host '{host}': {error.strerror}") from error
            except OSError:
                continue
            return candidate
    raise RequestError(f"no port from {port} to {last} can be listened at on '{host}'; name another --port")


def _stop(dashboard: subprocess.Popen[bytes]) -> None:
    """End the dashboard's process, by force after a timeout or a second Ctrl-C."""
    dashboard.terminate()
    try:
        dashboard.wait(timeout=_PATIENCE)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        dashboard.kill()
        dashboard.wait()
