"""The messages that ship with the trainer are in order, and nothing but their content tells ham from spam."""

from __future__ import annotations

from collections import Counter, defaultdict
from email import message_from_bytes
from email.policy import default
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from filterd.core.envelope import Channel
from trainer.config import defaults
from trainer.errors import CorpusError
from trainer.example import Label
from trainer.prepare import Split, fold, split
from trainer.sources import email_modern, sms_modern, sms_modern_mail
from trainer.sources.catalogue import sources_of
from trainer.sources.modern import FOLDER, Part, Written, examples, written

FOLDERS = ("email", "sms")


def messages(folder: str) -> list[Written]:
    return list(written(FOLDER / folder))


@pytest.mark.parametrize("folder", FOLDERS)
def test_written_when_read_then_every_message_has_its_own_id_and_words(folder):
    found = messages(folder)

    assert len({m.id for m in found}) == len(found) >= 700
    assert len({fold(m.subject + m.text) for m in found}) == len(found)
    assert all(m.text.strip() and m.sender and m.kind and len(m.lang) == 2 for m in found)
    assert all(bool(m.subject) is (folder == "email") for m in found)


@pytest.mark.parametrize("folder", FOLDERS)
def test_written_when_counted_then_no_kind_stands_for_its_label_alone(folder):
    found = messages(folder)
    kinds = Counter((m.label, m.kind) for m in found)
    labels = Counter(m.label for m in found)
    languages = {label: {m.lang for m in found if m.label is label} for label in Label}

    assert max(kinds.values()) <= 0.15 * len(found)
    assert 0.35 <= labels[Label.SPAM] / len(found) <= 0.55
    assert len(languages[Label.HAM] & languages[Label.SPAM]) >= 6


@pytest.mark.parametrize("folder", FOLDERS)
def test_tripwire_when_counted_then_it_is_ham_of_every_kind(folder):
    ham = [m for m in messages(folder) if m.label is Label.HAM]
    tripwire = [m for m in messages(folder) if m.part is Part.TRIPWIRE]

    assert {m.label for m in tripwire} == {Label.HAM}
    assert {m.kind for m in tripwire} >= {kind for kind, count in Counter(m.kind for m in ham).items() if count >= 6}
    assert 0.2 <= len(tripwire) / len(ham) <= 0.3


@pytest.mark.parametrize("word", ["http", "!", "urgent", "free", "click", "€"])
def test_mail_when_searched_for_a_loud_word_then_ham_has_it_too(word):
    labels = {m.label for m in messages("email") if word in f"{m.subject} {m.text}".lower()}

    assert labels == set(Label)


def test_composed_when_headers_are_compared_then_none_belongs_to_one_label():
    labels: dict[str, Counter[Label]] = defaultdict(Counter)
    for message in messages("email")[::4]:  # composing takes 10 ms
        mail = message_from_bytes(email_modern.composed(message), policy=default)
        names = {name.lower() for name in mail}
        styles = {f"{part.get_content_type()} {part.get('content-transfer-encoding')}" for part in mail.walk()}
        for each in names | styles:
            labels[each][message.label] += 1

    assert {each: found for each, found in labels.items() if len(found) < 2} == {}
    assert {"list-unsubscribe", "reply-to", "x-mailer", "user-agent", "text/html base64"} <= labels.keys()


def test_composed_when_parsed_then_the_text_is_the_one_written():
    for message in messages("email")[::12]:
        raw = email_modern.composed(message)
        mail = message_from_bytes(raw, policy=default)
        body = mail.get_body(("plain", "html"))

        assert body is not None
        if body.get_content_type() == "text/plain":
            assert body.get_content().strip().replace("\r\n", "\n") == message.text.strip()
        assert mail["subject"].replace(" ", "") == message.subject.replace(" ", "")  # folds may eat a space
        assert raw == email_modern.composed(message)


@pytest.mark.parametrize(("read", "folder"), [(email_modern.read, "email"), (sms_modern.read, "sms")])
def test_read_when_no_part_is_named_then_the_tripwire_stays_out(read, folder):
    kept = {m.id for m in messages(folder) if m.part is Part.TRIPWIRE}

    assert not kept & {e.id for e in islice(read(FOLDER / folder), 60)}
    assert {e.id for e in islice(read(FOLDER / folder, Part.TRIPWIRE), 60)} <= kept


@pytest.mark.parametrize("folder", FOLDERS)
def test_examples_when_a_part_is_named_then_they_are_all_of_it(folder):
    kept = {m.id for m in messages(folder) if m.part is Part.TRIPWIRE}
    parts = {part: {e.id for e in examples(FOLDER / folder, part, Channel(folder), lambda _: b"")} for part in Part}

    assert parts[Part.TRIPWIRE] == kept
    assert parts[Part.TRAIN] == {m.id for m in messages(folder)} - kept


@pytest.mark.parametrize("channel", list(Channel))
def test_catalogue_when_asked_for_packaged_sources_then_they_need_no_data_folder(channel):
    packaged = [source for source in sources_of(channel) if source.is_packaged]

    assert packaged
    assert all(next(iter(source.read(source.path(Path("absent"))))) for source in packaged)


@pytest.mark.parametrize("line", ["{", '{"id": "a"}', "[]", '{"id":"a","label":"maybe"}'])
def test_written_when_a_line_is_not_a_message_then_it_is_named(tmp_path, line):
    path = tmp_path / "some.jsonl"
    path.write_text(f"\n{line}\n", encoding="utf-8")

    with pytest.raises(CorpusError, match="line 2"):
        list(written(tmp_path))


def test_mail_as_sms_when_read_then_only_training_mail_comes_and_all_of_it_is_trained_on():
    found = tuple(sms_modern_mail.read(FOLDER / "email"))

    assert len(found) == sum(message.part is Part.TRAIN for message in messages("email"))
    assert max(len(example.raw.decode()) for example in found) == 500
    config = defaults(Channel.SMS).split
    splits = split(found, np.arange(len(found), dtype=np.int64), config)
    assert set(splits) == {Split.TRAIN}
