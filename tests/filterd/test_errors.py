"""Every error of ours has a reply, and none of them tells a stranger anything."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from filterd.errors import FilterdError, MessageError
from filterd.replies import http_status, smtp_reply


def _tree(kind: type[FilterdError] = FilterdError) -> Iterator[type[FilterdError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _tree(child)


@pytest.mark.parametrize("kind", list(_tree()), ids=lambda k: k.__name__)
def test_reply_blames_the_sender_only_for_message_errors(kind: type[FilterdError]) -> None:
    reply = smtp_reply(kind("secret detail"))

    assert reply.is_permanent == issubclass(kind, MessageError)
    assert "secret" not in reply.render()
    assert http_status(kind("x")) in {401, 403, 413, 422, 503}


def test_b13_d15_foreign_exception_is_temporary_and_says_nothing() -> None:
    assert smtp_reply(RuntimeError("db password=hunter2")).render() == "451 4.3.0 Temporary error, try again later"
