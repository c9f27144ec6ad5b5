"""The messages that ship with the trainer are in order, and nothing but their content tells ham from spam."""

from __future__ import annotations

from collections import Counter, defaultdict
from email import message_from_bytes
from email.policy import default
from pathlib import Path

import pytest

from filterd.core.envelope import Channel
from trainer.errors import CorpusError
from trainer.example import Label
from trainer.prepare import fold
from trainer.sources import email_modern, sms_modern
from trainer.sources.catalogue import sources_of
from trainer.sources.modern import FOLDER, Part, Written, written

FILES = ("email.jsonl", "sms.jsonl")


def messages(file: str) -> list[Written]:
    return list(written(FOLDER / file))


@pytest.mark.parametrize("file", FILES)
def test_written_when_read_then_every_message_has_its_own_id_and_words(file):
    found = messages(file)

    assert len({m.id for m in found}) == len(found) >= 220
    assert len({fold(m.subject + m.text) for m in found}) == len(found)
    assert all(m.text.strip() and m.sender and m.kind and len(m.lang) == 2 for m in found)
    assert all(bool(m.subject) is (file == "email.jsonl") for m in found)


@pytest.mark.parametrize("file", FILES)
def test_written_when_counted_then_no_kind_stands_for_its_label_alone(file):
    found = messages(file)
    kinds = Counter((m.label, m.kind) for m in found)
    labels = Counter(m.label for m in found)
    languages = {label: {m.lang for m in found if m.label is label} for label in Label}

    assert max(kinds.values()) <= 0.15 * len(found)
    assert 0.25 <= labels[Label.SPAM] / len(found) <= 0.45
    assert len(languages[Label.HAM] & languages[Label.SPAM]) >= 6


@pytest.mark.parametrize("file", FILES)
def test_tripwire_when_counted_then_it_is_ham_of_every_kind(file):
    ham = [m for m in messages(file) if m.label is Label.HAM]
    tripwire = [m for m in messages(file) if m.part is Part.TRIPWIRE]

    assert {m.label for m in tripwire} == {Label.HAM}
    assert {m.kind for m in tripwire} == {m.kind for m in ham}
    assert 0.2 <= len(tripwire) / len(ham) <= 0.3


@pytest.mark.parametrize("word", ["http", "!", "urgent", "free", "click", "€"])
def test_mail_when_searched_for_a_loud_word_then_ham_has_it_too(word):
    labels = {m.label for m in messages("email.jsonl") if word in f"{m.subject} {m.text}".lower()}

    assert labels == set(Label)


def test_composed_when_headers_are_compared_then_none_belongs_to_one_label():
    labels: dict[str, Counter[Label]] = defaultdict(Counter)
    for message in messages("email.jsonl"):
        mail = message_from_bytes(email_modern.composed(message), policy=default)
        names = {name.lower() for name in mail}
        styles = {f"{part.get_content_type()} {part.get('content-transfer-encoding')}" for part in mail.walk()}
        for each in names | styles:
            labels[each][message.label] += 1

    assert {each: found for each, found in labels.items() if len(found) < 2} == {}
    assert {"list-unsubscribe", "reply-to", "x-mailer", "user-agent", "text/html base64"} <= labels.keys()


def test_composed_when_parsed_then_the_text_is_the_one_written():
    for message in messages("email.jsonl"):
        raw = email_modern.composed(message)
        mail = message_from_bytes(raw, policy=default)
        body = mail.get_body(("plain", "html"))

        assert body is not None
        assert body.get_content().strip().replace("\r\n", "\n") in {message.text, message.html}
        assert mail["subject"].strip() == message.subject  # a fold may fall before the first word
        assert raw == email_modern.composed(message)


@pytest.mark.parametrize(("read", "file"), [(email_modern.read, "email.jsonl"), (sms_modern.read, "sms.jsonl")])
def test_read_when_no_part_is_named_then_the_tripwire_stays_out(read, file):
    kept = {m.id for m in messages(file) if m.part is Part.TRIPWIRE}

    assert not kept & {e.id for e in read(FOLDER / file)}
    assert {e.id for e in read(FOLDER / file, Part.TRIPWIRE)} == kept


@pytest.mark.parametrize("channel", list(Channel))
def test_catalogue_when_asked_for_packaged_sources_then_they_need_no_data_folder(channel):
    packaged = [source for source in sources_of(channel) if source.is_packaged]

    assert [e for source in packaged for e in source.read(source.path(Path("absent")))]


@pytest.mark.parametrize("line", ["{", '{"id": "a"}', "[]", '{"id":"a","label":"maybe"}'])
def test_written_when_a_line_is_not_a_message_then_it_is_named(tmp_path, line):
    path = tmp_path / "email.jsonl"
    path.write_text(f"\n{line}\n", encoding="utf-8")

    with pytest.raises(CorpusError, match="line 2"):
        list(written(path))
