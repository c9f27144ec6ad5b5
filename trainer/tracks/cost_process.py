"""A process that holds bundles as a scanner does, and says what it costs: ``CHANNEL FOLDER MESSAGE ...`` to one line.

It is started afresh so that neither the trainer's libraries nor the corpora are counted. Reads /proc, so Linux only.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from filterd.core.envelope import Channel
from filterd.core.message import ParseLimits
from filterd.inference.loaded import Scorer

_KIB = 1024


def main(arguments: list[str]) -> int:
    """Print resident bytes and the process's own CPU seconds up to the first probability of each channel, as JSON."""
    triples = zip(arguments[::3], arguments[1::3], arguments[2::3], strict=True)
    wanted = [(Channel(channel), Path(folder), Path(message)) for channel, folder, message in triples]
    scorer, refused = Scorer.open({channel: folder for channel, folder, _ in wanted}, ParseLimits())
    for error in refused.values():
        raise error
    for channel, _, message in wanted:
        scorer.scan(channel, message.read_bytes())
    status = Path("/proc/self/status").read_text(encoding="ascii")
    resident = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    found = {"rss_bytes": int(resident.split()[1]) * _KIB, "cpu_seconds": time.process_time()}
    sys.stdout.write(json.dumps(found) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
