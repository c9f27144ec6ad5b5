"""``filterd ready``: what a health check is told, whoever answers or does not."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from filterd import cli
from filterd.errors import TemporaryError

READY = {"ready": True, "missing": []}
DEGRADED = {"ready": False, "missing": ["w0: store", "w1: scanners"]}


class _UnixServer(socketserver.UnixStreamServer):
    def get_request(self):
        return super().get_request()[0], ("", 0)


@pytest.fixture(params=["tcp", "unix"])
def answering(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, dict[str, object]]]:
    """An admin port and what it says; change it as you like."""
    said: dict[str, object] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(said).encode()
            self.send_response(200 if said["ready"] else 503)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body if self.path == "/readyz" else b"?" * len(body))

        def log_message(self, *_: object) -> None:
            """Nothing."""

    path = str(tmp_path / "admin")
    server = HTTPServer(("127.0.0.1", 0), Handler) if request.param == "tcp" else _UnixServer(path, Handler)
    with server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield (f"0.0.0.0:{server.server_port}" if isinstance(server, HTTPServer) else f"unix:{path}"), said
        server.shutdown()


def ask(address: str) -> tuple[int, str, BaseException | None]:
    done = CliRunner().invoke(cli.build(), ["ready"], env={"FILTERD_SERVER__ADMIN_LISTEN": address})
    return done.exit_code, done.stdout, done.exception


def test_ready_when_the_daemon_is_says_so(answering: tuple[str, dict[str, object]]) -> None:
    """Also where the daemon listens on a wildcard address or a Unix socket."""
    address, said = answering
    said |= READY

    assert ask(address)[:2] == (0, "ready\n")


def test_ready_when_something_is_missing_names_it_and_fails(answering: tuple[str, dict[str, object]]) -> None:
    address, said = answering
    said |= DEGRADED

    _, printed, error = ask(address)

    assert printed == ""
    assert isinstance(error, TemporaryError)
    assert error.detail == "not ready: w0: store, w1: scanners"


def test_ready_when_nobody_answers_fails(tmp_path: Path) -> None:
    """Exit 75: whoever asked may ask again."""
    _, _, error = ask(f"unix:{tmp_path / 'nothing'}")

    assert isinstance(error, TemporaryError)
    assert cli.exit_code(error) == 75


def test_version_is_printed_without_a_command() -> None:
    done = CliRunner().invoke(cli.build(), ["--version"])

    assert (done.exit_code, done.stdout.split()[0]) == (0, "filterd")
