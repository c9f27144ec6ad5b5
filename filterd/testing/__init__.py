"""Stand-ins for the ports, for tests of filterd and of what is built on it.

They pass the same contract tests as the real parts (``tests/contract``).
"""

from __future__ import annotations

from filterd.testing.fakes import POINTS, FakeScanner, FixedClock, RecordingRelay, a_scan, an_envelope
from filterd.testing.memory import MemoryStore

__all__ = ["POINTS", "FakeScanner", "FixedClock", "MemoryStore", "RecordingRelay", "a_scan", "an_envelope"]
