"""Reading a log that a killed process left half a line in."""

from __future__ import annotations

from pathlib import Path

from tests.servers.log import events_in


def test_half_a_line_when_another_follows_on_it_then_only_the_whole_one_is_read(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(
        'Traceback {"not": 1\n'
        '{"event": "server.ready"}\n'
        '{"action": "accept", "c{"action": "accept", "event": "message.judged", "id": "2"}\n'
        '{"event": "message.judged", "id": "3"}\n'
        '{"event": "message.ju',
        encoding="utf-8",
    )

    assert [event.get("id") for event in events_in(log)] == [None, "2", "3"]
    assert [event["id"] for event in events_in(log, "message.judged")] == ["2", "3"]
