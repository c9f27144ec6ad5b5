"""``filterd serve``: the daemon in the foreground."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from filterd.commands.config import ConfigOption

if TYPE_CHECKING:
    from filterd.config import Loaded
    from filterd.forking import Zygote


def run(config: ConfigOption = None) -> None:
    """Receive, judge and hand on messages until SIGTERM; SIGHUP reads policy and models again."""
    import asyncio
    import os

    from filterd.forking import zygote

    # First of all, so that it imports beside this process.
    with zygote() as forks:
        from filterd import config as configuration

        environ = dict(os.environ)
        path = configuration.find(config, environ)
        loaded = configuration.load(path, environ)
        raise SystemExit(asyncio.run(_serve(loaded, environ, forks)))


async def _serve(loaded: Loaded, environ: dict[str, str], forks: Zygote) -> int:
    import contextlib
    import tempfile

    from filterd import log, parent
    from filterd.errors import ConfigError, FilterdError
    from filterd.listeners import bind_all, close_all
    from filterd.supervisor import EXIT_CONFIG

    server = loaded.config.server
    log.configure(server.log_format, server.log_level, worker="supervisor")
    with contextlib.ExitStack() as stack:
        folder = Path(server.runtime_dir or stack.enter_context(tempfile.TemporaryDirectory(prefix="filterd-")))
        parent.check(loaded.config)
        events = parent.events_of(loaded.config)
        listeners = bind_all(loaded.config)
        stack.callback(close_all, listeners)
        supervisor, admin = parent.build_supervisor(loaded, environ, listeners, folder, forks)
        for each in listeners:
            events.listening(each.edge, each.address)
            if each.edge == "admin":
                await admin.serve(each.socket)
        try:
            code = await supervisor.run()
            if supervisor.failure:
                raise FilterdError(supervisor.failure) if code != EXIT_CONFIG else ConfigError(supervisor.failure)
            return code
        finally:
            await admin.drain(1.0)
