"""``python -m filterd.demo``: sends mail and SMS through the daemon and shows what became of each."""

from __future__ import annotations

import contextlib
import json
import smtplib
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filterd.clock import SystemClock
from filterd.demo.customer import CustomerUrl
from filterd.demo.embedded import Ports, administrator_link, command, daemon, get, write_config
from filterd.demo.keys import DemoKeys
from filterd.demo.messages import MAILS, TEXTS, Sample, as_email
from filterd.demo.sink import MailSink, on_a_thread

RECIPIENT = "tom.brown@inbox.example"
NUMBER = "+15550199000"
PROVIDERS = ("twilio", "vonage", "telnyx", "plivo", "generic")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One message that was sent, and what the gateway answered."""

    via: str
    sample: Sample
    answer: str


def main() -> int:
    """Run the demo; 0 when every message got a verdict."""
    with tempfile.TemporaryDirectory(prefix="filterd-demo-") as folder, CustomerUrl() as customer:
        root = Path(folder)
        keys = DemoKeys.generate()
        ports = Ports.free()
        config = root / "filterd.toml"
        with on_a_thread(MailSink(root / "delivered")) as next_hop:
            sms = keys.as_toml(f"http://127.0.0.1:{ports.http}", customer.url)
            write_config(config, ports, state=root / "state", next_hop=next_hop, extra=sms)
            with daemon(config, ports, root / "filterd.log"):
                sent = [*send_mails(ports.smtp), *send_texts(ports.http, keys)]
                rows = wait_for_verdicts(config, len(sent))
                show(sent, rows)
                teach(config, rows)
                code = count(config, ports, root / "delivered", customer, len(sent))
                show_page(config)
                return code


def send_mails(port: int) -> Iterator[Sent]:
    """Send every sample mail over one SMTP session."""
    with smtplib.SMTP("127.0.0.1", port, local_hostname="client.demo.example", timeout=60) as client:
        for serial, sample in enumerate(MAILS, 1):
            client.ehlo_or_helo_if_needed()
            client.mail(sample.sender)
            client.rcpt(RECIPIENT)
            code, text = client.data(as_email(sample, RECIPIENT, serial, SystemClock()))
            yield Sent(via="smtp", sample=sample, answer=f"{code} {text.decode().splitlines()[0]}")


def send_texts(port: int, keys: DemoKeys) -> Iterator[Sent]:
    """Send every sample SMS as a signed webhook, the providers in turn."""
    base = f"http://127.0.0.1:{port}"
    for i, sample in enumerate(TEXTS):
        provider = PROVIDERS[i % len(PROVIDERS)]
        url, headers, body = keys.sign(
            provider,
            base,
            f"demo{i}",
            sender=sample.sender,
            recipient=NUMBER,
            text=sample.text,
            clock=SystemClock(),
        )
        request = urllib.request.Request(url, data=body, headers=headers, method="POST")  # noqa: S310  # loopback
        try:
            with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310  # loopback
                status = response.status
        except urllib.error.HTTPError as exc:
            status = exc.code
        yield Sent(via=provider, sample=sample, answer=str(status))


def wait_for_verdicts(config: Path, wanted: int) -> list[dict[str, object]]:
    """The stored verdicts, oldest first, once all are there."""
    rows: list[dict[str, object]] = []
    for _ in range(100):
        rows = json.loads(command(config, "verdicts", "--json", "--limit", "100"))
        if len(rows) >= wanted:
            break
        time.sleep(0.1)
    return sorted(rows, key=lambda row: str(row["id"]))


def show(sent: list[Sent], rows: list[dict[str, object]]) -> None:
    """Print one line per message: what it was, what the gateway said and did."""
    by_sender = {str(row["sender"]).lstrip("+"): row for row in rows}
    print(f"{'via':8} {'truth':5} {'action':10} {'reason':8} {'p(spam)':>8}  {'answer':32} message")
    for message in sent:
        row = by_sender.get(message.sample.sender.lstrip("+"), {})
        probability = row.get("probability")
        shown = f"{probability:8.4f}" if isinstance(probability, float) else f"{'-':>8}"
        print(
            f"{message.via:8} {message.sample.label:5} {row.get('action', '?')!s:10} {row.get('reason', '?')!s:8} "
            f"{shown}  {message.answer[:32]:32} {(message.sample.subject or message.sample.text)[:48]}"
        )


def teach(config: Path, rows: list[dict[str, object]]) -> None:
    """Release one held mail as ham and report one delivered message as spam, as people would."""
    held = [row for row in rows if row["outcome"] == "held" and row["channel"] == "email"]
    passed = [row for row in rows if row["action"] == "accept"]
    print()
    if held:
        print(command(config, "quarantine", "release", str(held[0]["id"]), "--ham").strip())
    if passed:
        print(command(config, "report", "spam", str(passed[-1]["id"])).strip())


def count(config: Path, ports: Ports, delivered: Path, customer: CustomerUrl, wanted: int) -> int:
    """Print the counts of the database and of /metrics; 1 if a message is missing from either."""
    rows = json.loads(command(config, "verdicts", "--json", "--limit", "1000"))
    by_action: dict[str, int] = {}
    for row in rows:
        by_action[row["action"]] = by_action.get(row["action"], 0) + 1
    print(f"\ndatabase: {len(rows)} verdicts: " + ", ".join(f"{n} {action}" for action, n in sorted(by_action.items())))
    metrics = get(f"http://127.0.0.1:{ports.admin}/metrics")
    total = 0
    for line in metrics.splitlines():
        if line.startswith(("filterd_messages_total{", "filterd_feedback_total{", "filterd_releases_total")):
            value = float(line.rpartition(" ")[2])
            if value:
                print(f"metrics:  {line}")
            if line.startswith("filterd_messages_total{"):
                total += int(value)
    mails = len(list(delivered.glob("*.eml")))
    print(f"delivered: {mails} mails to the next hop, {len(customer.received)} SMS to the customer's URL")
    if len(rows) < wanted or total < wanted:
        print(f"expected {wanted} messages, the database has {len(rows)} and the metrics {total}", file=sys.stderr)
        return 1
    return 0


def show_page(config: Path) -> None:
    """Say where the web page is and how an administrator signs in; at a terminal, keep it there to look at."""
    print(f"\nweb page: {administrator_link(config)}")
    print("          signs an administrator in, once, within 15 minutes")
    if sys.stdin.isatty() and sys.stdout.isatty():
        with contextlib.suppress(EOFError, KeyboardInterrupt):
            input("Press Enter to stop. ")
    else:
        print("          The demo ends here; `make run` keeps the daemon up and prints a link of its own.")


if __name__ == "__main__":
    sys.exit(main())
