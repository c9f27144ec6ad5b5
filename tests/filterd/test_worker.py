"""What a worker that cannot start tells the supervisor: to give up, or to start another one."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from contextlib import AsyncExitStack

import pytest

from filterd import bootstrap, worker
from filterd.errors import ConfigError, FilterdError, StateUnavailable, StoreUnavailable
from filterd.settings import Config
from filterd.supervisor import EXIT_CONFIG


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("smtp.next_hop: missing"), EXIT_CONFIG),
        (StateUnavailable("secret cannot be read"), worker.EXIT_BROKEN),
        (StoreUnavailable("connection refused"), worker.EXIT_BROKEN),
    ],
)
def test_worker_that_cannot_start_ends_the_daemon_only_for_what_the_operator_must_mend(
    monkeypatch: pytest.MonkeyPatch, error: FilterdError, code: int
) -> None:
    async def build(_config: Config, _stack: AsyncExitStack, *, has_chores: bool, zygote: None) -> None:
        assert has_chores
        assert zygote is None
        raise error

    monkeypatch.setattr(bootstrap, "build_worker", build)
    monkeypatch.setattr(worker, "use_stable_identity", lambda name: None)  # it would stay with this process
    ours, theirs = socket.socketpair()
    with ours, ours.makefile("rb") as said:
        order = {"kind": "start", "worker": "w0", "environ": dict(os.environ), "config": {}, "edges": []}
        ours.sendall(json.dumps(order).encode() + b"\n")

        assert asyncio.run(worker.serve([theirs.detach()])) == code
        assert json.loads(said.readline()) == {"kind": "failed", "detail": error.detail}
