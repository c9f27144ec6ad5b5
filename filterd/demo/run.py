"""``python -m filterd.demo.run FOLDER``: keeps the daemon up on embedded defaults, with a mail sink as next hop."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from filterd.demo.embedded import Ports, administrator_link, environment, write_config
from filterd.demo.keys import GENERIC_SECRET
from filterd.demo.sink import MailSink

PORTS = Ports(smtp=10025, http=8025, admin=9464)
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


async def main(root: Path) -> int:
    """Run until SIGINT or SIGTERM; the daemon's exit code."""
    sink = MailSink(root / "delivered")
    next_hop = await sink.start()
    config = root / "filterd.toml"
    write_config(
        config, PORTS, state=root / "state", next_hop=next_hop, extra=f'[sms.generic]\nsecret = "{GENERIC_SECRET}"'
    )
    link = await asyncio.to_thread(administrator_link, config)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "filterd.cli", "serve", env=environment(config), start_new_session=True
    )
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, process.send_signal, signal.SIGTERM)
    sys.stdout.write(_welcome(config, sink.folder, link))
    sys.stdout.flush()
    try:
        return await process.wait()
    finally:
        await sink.stop()


def _welcome(config: Path, delivered: Path, link: str) -> str:
    return f"""\
mail       127.0.0.1:{PORTS.smtp}                      what is accepted ends up in {delivered}/
webhooks   http://127.0.0.1:{PORTS.http}/webhooks/generic
pages      {link}
           signs an administrator in, once, within 15 minutes
API        http://127.0.0.1:{PORTS.http}/api/v1/
metrics    http://127.0.0.1:{PORTS.admin}/metrics      also /healthz and /readyz
settings   FILTERD_CONFIG={config}
Stop with Ctrl-C.
"""


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "var").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    sys.exit(asyncio.run(main(folder)))
