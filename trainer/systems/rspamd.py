"""rspamd: its content rules and its Bayes classifier, without the network, as a private instance with a private Redis.

Rules that ask the network or the session are off (DNS lists, SPF, DKIM, DMARC, fuzzy hashes, reputation, greylisting,
client names), and so are rules about the age of a message, because the corpora are years old. Autolearning is off.
Learning is asked for in bulk, else rspamd's ``learn_condition`` passes over what it classifies rightly already.

Source: https://rspamd.com/doc (configuration, protocol), and ``lualib/lua_bayes_learn.lua`` for ``Learn-Type``.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from trainer.errors import ToolMissing, TrainerError
from trainer.example import Example, Label
from trainer.systems import carrier, processes, programs

_OFF = (
    *(
        "arc",
        "asn",
        "clickhouse",
        "dkim_signing",
        "dmarc",
        "external_services",
        "greylist",
        "history_redis",
        "mx_check",
    ),
    *("neural", "once_received", "ratelimit", "rbl", "replies", "reputation", "spf", "url_redirector", "whitelist"),
)
"""Modules that ask the network or the session, remember senders, or delay."""
_AGES = ("DATE_IN_PAST", "DATE_IN_FUTURE")
_OPTIONS = """
filters = "chartable,regexp";
dns {{ nameserver = ["{nameserver}"]; timeout = 0.1s; retransmits = 1; }}
disable_monitoring = true;
hs_cache_dir = "{cache}";
"""
_PATHS = {
    "CONFDIR": "etc/rspamd",
    "SHAREDIR": "usr/share/rspamd",
    "RULESDIR": "usr/share/rspamd/rules",
    "LUALIBDIR": "usr/share/rspamd/lualib",
    "PLUGINSDIR": "usr/share/rspamd/plugins",
    "WWWDIR": "usr/share/rspamd/www",
}
_REQUEST_SECONDS = 30.0
_ALREADY_LEARNED = 208
_NOT_ENOUGH_TOKENS = 204
_LEARN_PATHS = {Label.HAM: "/learnham", Label.SPAM: "/learnspam"}


class Rspamd:
    """rspamd's points, unbounded. Raises ToolMissing when it, or Redis, is not there.

    The first start on a machine compiles tables for about a minute; they are kept in ``cache``, a
    folder beside the checkout's unpacked programs unless another is named. ``suffixes`` replaces
    the public suffix list, most of that minute, where it does not matter. ``local`` replaces
    files of ``local.d`` by name. Nobody answers at the default ``nameserver``, which costs a message
    a tenth of a second where it is asked.
    """

    cut = 6.0
    """Its own threshold of the action ``add header``."""

    def __init__(
        self,
        environ: Mapping[str, str],
        *,
        cache: Path | None = None,
        suffixes: Sequence[str] = (),
        local: Mapping[str, str] = MappingProxyType({}),
        scanners: int = 1,
        nameserver: str = "127.0.0.1:9",
        patience_seconds: float = 300,
    ) -> None:
        self._program = programs.find(("rspamd",), "rspamd", environ)
        self._redis = programs.find(("redis-server",), "redis-server", environ)
        if not (self._program.root / _PATHS["CONFDIR"] / "rspamd.conf").is_file():
            raise ToolMissing(f"{self._program.path} has no configuration: install Debian's rspamd, or run fetch.sh")
        self._cache = cache or programs.ASIDE / "rspamd"
        self._suffixes = tuple(suffixes)
        self._local = dict(local)
        self._nameserver = nameserver
        self._scanners = scanners
        self.port = 0
        """Of the scanners' HTTP protocol, while they run."""
        self.pid = 0
        self._patience_seconds = patience_seconds
        self._stack = ExitStack()
        self.name = "rspamd"

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            home = Path(stack.enter_context(TemporaryDirectory(prefix="rspamd-")))
            self.name = f"rspamd {programs.run(self._program, ['--version'], home).split()[-1].decode()}"
            self._start_redis(stack, home)
            scan, control = _free_ports(2)
            self._configure(home, scan, control)
            self.port = scan
            arguments = [
                "-f",
                "-c",
                str(self._program.root / _PATHS["CONFDIR"] / "rspamd.conf"),
                *self._variables(home),
            ]
            if os.geteuid() == 0:
                arguments.append("-i")
            process = stack.enter_context(processes.started(self._program, arguments, home))
            self.pid = process.pid
            self._scanner = http.client.HTTPConnection("127.0.0.1", scan, timeout=_REQUEST_SECONDS)
            self._controller = http.client.HTTPConnection("127.0.0.1", control, timeout=_REQUEST_SECONDS)
            for connection in (self._scanner, self._controller):
                stack.callback(connection.close)
                processes.await_ready(
                    process,
                    lambda connection=connection: _answers(connection),  # type: ignore[misc]  # bound here, called here
                    "rspamd",
                    home / "rspamd.log",
                    patience_seconds=self._patience_seconds,
                )
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def learn(self, examples: Sequence[Example]) -> None:
        """Teach its Bayes classifier these, in this order. Raises TrainerError."""
        for example in examples:
            path = _LEARN_PATHS[example.label]
            status, body = _post(self._controller, path, carrier.as_mail(example), {"Learn-Type": "bulk"})
            if status not in {200, _ALREADY_LEARNED, _NOT_ENOUGH_TOKENS}:
                raise TrainerError(f"rspamd refuses to learn {example.corpus}/{example.id}: {status} {body[:200]!r}")

    def score(self, examples: Sequence[Example]) -> NDArray[np.float64]:
        """float64[len(examples)]. Raises TrainerError."""
        return np.array([self._score(example) for example in examples], np.float64)

    def _score(self, example: Example) -> float:
        status, body = _post(self._scanner, "/checkv2", carrier.as_mail(example), {})
        try:
            return float(json.loads(body)["score"])
        except (ValueError, KeyError, TypeError) as exc:
            raise TrainerError(f"rspamd gives {example.corpus}/{example.id} no score: {status} {body[:200]!r}") from exc

    def _start_redis(self, stack: ExitStack, home: Path) -> None:
        socket_path = home / "redis"
        arguments = ["--port", "0", "--unixsocket", str(socket_path), "--save", "", "--appendonly", "no"]
        process = stack.enter_context(processes.started(self._redis, arguments, home))
        log = home / f"{self._redis.path.name}.log"
        processes.await_ready(process, socket_path.exists, "redis-server", log, patience_seconds=30)

    def _configure(self, home: Path, scan: int, control: int) -> None:
        """What differs from the package's configuration, which is read from where it lies."""
        local = home / "local/local.d"
        for folder in (local, home / "db", self._cache):
            folder.mkdir(parents=True, exist_ok=True)
        options = _OPTIONS.format(cache=self._cache, nameserver=self._nameserver)
        if self._suffixes:
            (home / "suffixes").write_text("".join(f"{suffix}\n" for suffix in self._suffixes), encoding="utf-8")
            options += f'url_tld = "{home}/suffixes";\n'
        ages = "".join(f'"{symbol}" {{ weight = 0.0; }} ' for symbol in _AGES)
        files = {
            "options.inc": options,
            "logging.inc": 'type = "console";\nlevel = "error";\n',
            "worker-normal.inc": f'bind_socket = "127.0.0.1:{scan}";\ncount = {self._scanners};\n',
            "worker-controller.inc": f'bind_socket = "127.0.0.1:{control}";\n',
            "worker-proxy.inc": "enabled = false;\n",
            "redis.conf": f'servers = "{home}/redis";\n',
            "classifier-bayes.conf": "min_learns = 1;\nautolearn = false;\n",
            "hfilter.conf": "helo_enabled = false;\nhostname_enabled = false;\n",
            "groups.conf": f'group "date" {{ symbols {{ {ages} }} }}\n',
            **{f"{module}.conf": "enabled = false;\n" for module in _OFF},
            **self._local,
        }
        for name, content in files.items():
            (local / name).write_text(content, encoding="utf-8")

    def _variables(self, home: Path) -> list[str]:
        values = {name: self._program.root / path for name, path in _PATHS.items()}
        values |= {"LOCAL_CONFDIR": home / "local", "RUNDIR": home, "DBDIR": home / "db", "LOGDIR": home}
        return [word for name, value in values.items() for word in ("--var", f"{name}={value}")]


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]


def _answers(connection: http.client.HTTPConnection) -> bool:
    try:
        connection.request("GET", "/ping")
        return connection.getresponse().read().strip() == b"pong"
    except (OSError, http.client.HTTPException):
        connection.close()
        return False


def _post(
    connection: http.client.HTTPConnection, path: str, raw: bytes, headers: Mapping[str, str]
) -> tuple[int, bytes]:
    """Status and body of the answer; once more on a new connection when the old one was closed meanwhile."""
    for attempt in range(2):
        try:
            connection.request("POST", path, raw, dict(headers))
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException) as exc:
            connection.close()
            if attempt:
                raise TrainerError(f"rspamd does not answer {path}: {exc!r}") from exc
    raise AssertionError("unreachable")
