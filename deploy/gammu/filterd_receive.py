#!/usr/bin/env python3
"""Hands what gammu-smsd received to filterd's generic webhook; its RunOnReceive program (see smsdrc beside it).

Every SMS is first written to a folder, then sent from there: one that filterd cannot take now goes with the next, or
with a run without a message (from cron, every minute), so that nothing is lost while filterd is away. It needs Python
and nothing else. Source: gammu-smsd-run(7), standardwebhooks.com.
"""

from __future__ import annotations

import argparse
import base64
import fcntl
import hashlib
import hmac
import json
import os
import sys
import syslog
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Mapping
from pathlib import Path

LONGEST_RUN_SECONDS = 60.0
"""gammu-smsd receives nothing while this runs, and stops waiting after two minutes."""
CALL_SECONDS = 20.0
NEVER_TAKEN = {413, 422}
"""filterd read the message and says that another try will not help."""


def main() -> int:
    """0 once nothing is left to send; 75 (EX_TEMPFAIL) where something has to wait."""
    options = _options()
    options.spool.mkdir(mode=0o700, parents=True, exist_ok=True)
    if int(os.environ.get("SMS_MESSAGES", "0")):
        _keep(options.spool, message_of(os.environ, options.to))
    with (options.spool / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _send_all(options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8025/webhooks/generic", help="filterd's generic webhook")
    parser.add_argument("--secret-file", type=Path, required=True, help="a file with sms.generic.secret")
    parser.add_argument("--spool", type=Path, default=Path("/var/spool/filterd-gammu"), help="where messages wait")
    parser.add_argument("--to", default="", help="the number of this phone; the PhoneID if left out")
    parser.add_argument("ids", nargs="*", help="what gammu-smsd appends; not looked at")
    return parser.parse_args()


def message_of(environ: Mapping[str, str], to: str) -> dict[str, str]:
    """The fields of the generic format: the joined text of a long message, or that of its parts one by one."""
    kind = "DECODED" if int(environ.get("DECODED_PARTS", "0")) else "SMS"
    count = int(environ.get("DECODED_PARTS", "0")) or int(environ["SMS_MESSAGES"])
    names = (f"{kind}_{n}_{name}" for n in range(1, count + 1) for name in ("TEXT", "MMS_TITLE", "MMS_ADDRESS"))
    return {
        "id": uuid.uuid4().hex,
        "from": environ.get("SMS_1_NUMBER") or "unknown",
        "to": to or environ.get("PHONE_ID") or "gammu",
        "text": "".join(environ.get(name, "") for name in names),
    }


def _keep(spool: Path, message: dict[str, str]) -> None:
    """The message as a file that is whole or not there; names sort by time."""
    path = spool / f"{time.time_ns()}-{message['id']}.json"
    with path.with_suffix(".new").open("w", encoding="ascii") as file:
        json.dump(message, file)
        file.flush()
        os.fsync(file.fileno())
    path.with_suffix(".new").rename(path)


def _send_all(options: argparse.Namespace) -> int:
    end = time.monotonic() + LONGEST_RUN_SECONDS
    for path in sorted(options.spool.glob("*.json")):
        if time.monotonic() > end:
            return os.EX_TEMPFAIL
        status = _send(options, path.read_bytes())
        if 200 <= status < 300:
            path.unlink()
        elif status in NEVER_TAKEN:
            syslog.syslog(syslog.LOG_ERR, f"filterd does not take {path}: HTTP {status}")
            path.rename(path.with_suffix(".refused"))
        else:
            syslog.syslog(syslog.LOG_WARNING, f"filterd cannot be reached or answered HTTP {status}; waiting: {path}")
            return os.EX_TEMPFAIL
    return os.EX_OK


def _send(options: argparse.Namespace, body: bytes) -> int:
    """The status of filterd's answer; 0 where there is none."""
    id, timestamp = json.loads(body)["id"], str(int(time.time()))
    secret = options.secret_file.read_text(encoding="ascii").strip().removeprefix("whsec_")
    signed = f"{id}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.digest(base64.b64decode(secret), signed, hashlib.sha256)).decode()
    headers = {
        "content-type": "application/json",
        "webhook-id": id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{signature}",
    }
    request = urllib.request.Request(options.url, body, headers)  # noqa: S310  # the administrator's own URL
    try:
        with urllib.request.urlopen(request, timeout=CALL_SECONDS) as answer:  # noqa: S310  # the same
            return int(answer.status)
    except urllib.error.HTTPError as exc:
        return exc.code
    except OSError:
        return 0


if __name__ == "__main__":
    sys.exit(main())
