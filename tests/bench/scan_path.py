"""The ladder of the scan path: CPU microseconds of each step, for composed messages and corpora that are at hand.

``python tests/bench/scan_path.py [messages]``. The clock is the process's own CPU time, so that other work on the
machine changes figures little (caches are shared) and not at all when it only waits. Half of the messages
go before, so that caches of words are as full as in service; every figure is the least of three rounds.
"""

from __future__ import annotations

import io
import os
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import filterd
from filterd.core.domains import Domains
from filterd.core.envelope import Channel
from filterd.core.features import Features, extract
from filterd.core.fingerprint import fingerprint
from filterd.core.message import Message, ParseLimits, parse_email
from filterd.core.normalize import Normalizer
from filterd.core.sms import extract_sms, text_of
from filterd.core.tokens import Encoded, Encoder
from filterd.errors import Unscannable
from filterd.inference.loaded import LoadedModel, Scorer
from tests.filterd import composed

DATA = Path(os.environ.get("FILTERD_TEST_DATA") or Path(__file__).parents[3] / "shared" / "data")
MODELS = Path(filterd.__file__).parent / "models"
LIMITS = ParseLimits()
ROUNDS = 3


def corpus(name: str) -> list[bytes]:
    """The files of a corpus; none where it is not at hand."""
    path = DATA / name
    if not path.is_file():
        return []
    with tarfile.open(fileobj=io.BytesIO(path.read_bytes())) as archive:
        files = [archive.extractfile(member) for member in archive if member.isfile()]
        return [file.read() for file in files if file is not None]


class Ladder:
    """The steps of one channel, each over what the step before left."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.model = LoadedModel.open(MODELS / channel.value, LIMITS)
        self.scorer = Scorer({channel: self.model}, LIMITS)
        self._domains = Domains()
        self._normalizer = Normalizer(self._domains.registrable)
        self._encoder = Encoder(self.model.spec.hashing)

    def parse(self, raw: bytes) -> Message | str:
        """Bytes to a message."""
        return parse_email(raw, LIMITS) if self.channel is Channel.EMAIL else text_of(raw)

    def features(self, message: Message | str) -> Features:
        """A message to words and numbers."""
        if isinstance(message, str):
            return extract_sms(message, self._normalizer)
        return extract(message, self._normalizer, self._domains)

    def tokens(self, features: Features) -> Encoded:
        """Words to ids."""
        return self._encoder.encode(features)

    def onnx(self, encoded: Encoded) -> object:
        """Ids to the logit."""
        return self.model.score(encoded.tokens)

    def explain(self, encoded: Encoded) -> object:
        """Ids to the logit and its evidence; what it takes beyond the logit is shown."""
        return self.model.read(encoded)

    def fingerprint(self, encoded: Encoded) -> object:
        """Hashes of words to the fingerprint."""
        return fingerprint(encoded.word_hashes)

    def whole(self, raw: bytes) -> object:
        """The served path."""
        return self.scorer.scan(self.channel, raw)


def microseconds(step: Callable[[object], object], items: Sequence[object], rounds: int = ROUNDS) -> float:
    """CPU time of one call, in microseconds: the least of ``rounds`` rounds over ``items``."""
    best = float("inf")
    for _ in range(rounds):
        started = time.process_time()
        for item in items:
            step(item)
        best = min(best, time.process_time() - started)
    return best / len(items) * 1e6


def measure(ladder: Ladder, raws: Sequence[bytes]) -> Iterator[tuple[str, float]]:
    """(step, microseconds per message); the first half of ``raws`` only fills caches."""
    half = len(raws) // 2
    for raw in raws[:half]:
        ladder.whole(raw)
        ladder.tokens(ladder.features(ladder.parse(raw)))
    rest = raws[half:]
    started = time.process_time()
    for raw in rest:
        ladder.whole(raw)
    yield "whole, words met as they come", (time.process_time() - started) / len(rest) * 1e6
    messages = [ladder.parse(raw) for raw in rest]
    features = [ladder.features(message) for message in messages]
    encoded = [ladder.tokens(each) for each in features]
    onnx = microseconds(ladder.onnx, encoded)  # type: ignore[arg-type]  # each step takes what the one before gives
    yield "parse", microseconds(ladder.parse, rest)  # type: ignore[arg-type]
    yield "features", microseconds(ladder.features, messages)  # type: ignore[arg-type]
    yield "tokens", microseconds(ladder.tokens, features)  # type: ignore[arg-type]
    yield "onnx", onnx
    yield "explain", microseconds(ladder.explain, encoded) - onnx  # type: ignore[arg-type]
    yield "fingerprint", microseconds(ladder.fingerprint, encoded)  # type: ignore[arg-type]
    yield "whole, words known", microseconds(ladder.whole, rest)  # type: ignore[arg-type]


def _spread(items: list[bytes], most: int) -> list[bytes]:
    """At most ``most``, taken from all over."""
    return items[:: max(1, len(items) // most)][:most]


def _readable(ladder: Ladder, raws: list[bytes]) -> list[bytes]:
    found = []
    for raw in raws:
        try:
            ladder.parse(raw)
        except Unscannable:
            continue
        found.append(raw)
    return found


def main(count: int) -> None:
    """Print the ladders."""
    mails = [raw for raw in corpus("email-spamassassin.tar.xz") if 300 < len(raw) < 200_000]
    lines = [line.partition(b"\t")[2] for raw in corpus("sms-uci.tar.xz") for line in raw.splitlines() if b"\t" in line]
    email, sms = Ladder(Channel.EMAIL), Ladder(Channel.SMS)
    sets: list[tuple[str, Ladder, list[bytes]]] = [
        ("composed e-mail", email, [composed.mail(seed) for seed in range(count)]),
        ("SpamAssassin", email, _spread(mails, count)),
        ("composed SMS", sms, [composed.sms(seed) for seed in range(count)]),
        ("UCI SMS", sms, _spread(lines, count)),
    ]
    for name, ladder, raws in sets:
        readable = _readable(ladder, raws)
        if not readable:
            print(f"{name}: not at hand")
            continue
        mean = sum(map(len, readable)) / len(readable)
        print(f"{name}: {len(readable) // 2} messages measured, {mean:.0f} octets each")
        for step, cost in measure(ladder, readable):
            print(f"  {step:<30} {cost:8.1f} us  {1e6 / max(cost, 0.1):10.0f} /s")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000)
