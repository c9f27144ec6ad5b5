"""Every filter learns from invented messages and ranks held-out spam above ham; none leaves anything behind."""

from __future__ import annotations

import os
import random
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from filterd.core.envelope import Channel
from filterd.core.message import ParseLimits
from filterd.inference.loaded import Scorer
from trainer.config import defaults, quick
from trainer.errors import ToolMissing, TrainerError
from trainer.example import Example, Label
from trainer.metrics import one_minus_roca
from trainer.systems import carrier, programs
from trainer.systems.bogofilter import Bogofilter
from trainer.systems.linear import LinearSvm, OnlineLogistic
from trainer.systems.ours import Frozen, Trained
from trainer.systems.processes import Lines, await_ready, started
from trainer.systems.programs import Program
from trainer.systems.roster import SYSTEMS, chosen
from trainer.systems.rspamd import Rspamd
from trainer.systems.spamassassin import SpamAssassin
from trainer.systems.spamprobe import SpamProbe
from trainer.systems.system import System

from .archives import mail, sentence

MODELS = Path(__file__).parents[2] / "filterd/models"
SHELL = Program(path=Path("/bin/sh"), root=Path("/"), environment={"PATH": "/usr/bin:/bin"})
SUFFIXES = ("com", "org", "net")
"""Enough for invented messages, and rspamd starts in a second instead of a minute."""


def messages(count: int, seed: int, channel: Channel = Channel.EMAIL) -> list[Example]:
    """Ham and spam in turn."""
    rng = random.Random(seed)
    return [
        Example(
            id=f"{i}",
            corpus="c",
            channel=channel,
            label=Label.SPAM if i % 2 else Label.HAM,
            raw=wording(sentence(rng, spam=bool(i % 2)), channel),
        )
        for i in range(count)
    ]


def wording(text: str, channel: Channel) -> bytes:
    return mail("hello", text) if channel is Channel.EMAIL else text.encode()


def area(system: System, examples: list[Example]) -> float:
    """Per cent of pairs of ham and spam in the wrong order."""
    scores = system.score(examples)
    spam = np.array([example.label is Label.SPAM for example in examples])
    return one_minus_roca(scores[~spam], scores[spam])


def opened(name: str, cache: Path) -> System:
    """The program; a missing one skips, but fails where CI is true."""
    try:
        if name == "rspamd":
            return Rspamd(os.environ, cache=cache, suffixes=SUFFIXES)
        return SYSTEMS[name].open(os.environ)
    except ToolMissing as exc:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(exc))


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("name", "channel"),
    [
        ("bogofilter", Channel.EMAIL),
        ("bogofilter", Channel.SMS),
        ("spamprobe", Channel.EMAIL),
        ("spamprobe", Channel.SMS),
        ("spamassassin", Channel.EMAIL),  # 0.1 s a message on an idle machine
        ("rspamd", Channel.EMAIL),
        ("rspamd", Channel.SMS),
    ],
)
def test_program_when_it_has_learned_then_spam_ranks_above_ham(name, channel, tmp_path):
    with opened(name, tmp_path) as system:
        system.learn(messages(120, 1, channel))

        confused = area(system, messages(20, 2, channel))

        assert system.name.lower().startswith(name)
        assert confused < 10


@pytest.mark.real
@pytest.mark.parametrize("name", ["bogofilter", "spamprobe"])
def test_program_when_it_has_learned_nothing_then_it_has_an_opinion_of_no_message(name, tmp_path):
    with opened(name, tmp_path) as system:
        scores = system.score(messages(4, 1))

        assert len(set(scores.tolist())) == 1
        assert scores[0] < system.cut


@pytest.mark.real
@pytest.mark.parametrize("name", ["bogofilter", "spamprobe"])
def test_program_when_taught_in_two_parts_then_it_is_as_if_in_one(name, tmp_path):
    taught, asked = messages(40, 1), messages(6, 2)

    with opened(name, tmp_path) as parts, opened(name, tmp_path) as whole:
        for part in (taught[:15], taught[15:]):
            parts.learn(part)
        whole.learn(taught)

        assert parts.score(asked).tolist() == whole.score(asked).tolist()


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ["bogofilter", "spamprobe", "spamassassin", "rspamd"])
def test_program_when_messages_are_odd_then_each_gets_a_score_in_its_place(name, tmp_path):
    odd = [b"", b"\n", b"From me Mon\nSubject: x\n\nFrom you\n", b"\xff\x00\xfe" * 9, b"Content-Type: text/html\n\n<p"]
    examples = [
        Example(id=f"{i}", corpus="c", channel=Channel.EMAIL, label=Label.HAM, raw=raw) for i, raw in enumerate(odd)
    ]
    plain = messages(2, 3)

    with opened(name, tmp_path) as system:
        system.learn(messages(60, 1))
        found = system.score([*examples, *plain])
        alone = system.score(plain)

        assert len(found) == 7
        assert np.isfinite(found).all()
        assert found[5:7] == pytest.approx(alone, abs=1e-3)


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("name", ["spamassassin", "rspamd"])
def test_program_when_its_block_ends_then_no_process_of_it_is_left(name, tmp_path):
    before = children()
    with opened(name, tmp_path) as system:
        during = children() - before
        assert during
        del system

    assert not during & children()


def children() -> set[str]:
    """Ids of the processes this one has started, and of theirs."""
    found: set[str] = set()
    parents = {str(os.getpid())}
    stats = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        stats[path.parent.name] = (words[1], words[0])
    while parents:
        parents = {pid for pid, (parent, state) in stats.items() if parent in parents and state != "Z"} - found
        found |= parents
    return found


@pytest.mark.parametrize("channel", list(Channel))
@pytest.mark.parametrize("kind", [OnlineLogistic, LinearSvm])
def test_linear_filter_when_it_has_learned_then_spam_ranks_above_ham(kind, channel):
    with kind() as system:
        system.learn(messages(120, 1, channel))

        scores = system.score(messages(40, 2, channel))

        assert scores[::2].max() < system.cut < scores[1::2].min()


def test_online_logistic_when_taught_in_two_parts_then_it_is_as_if_in_one():
    parts, whole = OnlineLogistic(), OnlineLogistic()
    taught = messages(60, 1)

    parts.learn(taught[:25])
    parts.learn(taught[25:])
    whole.learn(taught)

    assert np.array_equal(parts.score(messages(10, 2)), whole.score(messages(10, 2)))


def test_online_logistic_when_a_message_is_right_by_far_then_it_changes_nothing():
    system = OnlineLogistic()
    for _ in range(30):
        system.learn(messages(2, 1))
    before = system.score(messages(10, 2))

    system.learn(messages(2, 1))

    assert np.array_equal(system.score(messages(10, 2)), before)


def test_online_logistic_when_a_message_is_shorter_than_a_gram_then_it_has_a_score():
    short = Example(id="1", corpus="c", channel=Channel.SMS, label=Label.HAM, raw=b"ok")

    assert OnlineLogistic().score([short]).tolist() == [0.5]


def test_linear_svm_when_it_knows_one_label_then_it_has_no_opinion():
    system = LinearSvm()

    system.learn([example for example in messages(20, 1) if example.label is Label.HAM])

    assert system.score(messages(4, 2)).tolist() == [0.0] * 4


def test_frozen_when_asked_to_learn_then_it_refuses():
    with Frozen(MODELS / "sms") as system, pytest.raises(TrainerError, match="does not learn"):
        system.learn(messages(2, 1, Channel.SMS))


def test_frozen_when_it_scores_then_it_is_what_the_daemon_gives():
    folder = MODELS / "email"
    scorer, _ = Scorer.open({Channel.EMAIL: folder}, ParseLimits())
    examples = messages(6, 4)

    with Frozen(folder) as system:
        scores = system.score(examples)

    assert scores.tolist() == [scorer.scan(Channel.EMAIL, example.raw).probability for example in examples]


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.filterwarnings("ignore")  # TensorFlow and tf2onnx warn of their own insides
def test_trained_when_it_has_learned_then_spam_ranks_above_ham():
    validation = [replace(example, id=f"v{example.id}") for example in messages(80, 3, Channel.SMS)]

    with Trained(quick(defaults(Channel.SMS)), validation) as system:
        before = system.score(messages(4, 2, Channel.SMS))
        system.learn(messages(160, 1, Channel.SMS))

        assert before.tolist() == [0.5] * 4
        assert area(system, messages(40, 2, Channel.SMS)) < 10


def test_find_when_a_program_is_on_the_path_and_unpacked_then_the_path_s_is_used(tmp_path):
    for path in (tmp_path / "usr/bin/tool", tmp_path / "aside/tree/usr/bin/tool"):
        path.parent.mkdir(parents=True)
        path.touch(0o755)

    found = programs.find(("tool",), "tools", {"PATH": str(tmp_path / "usr/bin")}, tmp_path / "aside")

    assert (found.path, found.root) == (tmp_path / "usr/bin/tool", Path("/"))


def test_find_when_a_program_is_unpacked_only_then_its_libraries_come_along(tmp_path):
    tree = tmp_path / "tree"
    (tree / "usr/bin").mkdir(parents=True)
    (tree / "usr/lib/x86_64-linux-gnu").mkdir(parents=True)
    (tree / "usr/bin/other").touch(0o755)

    found = programs.find(("tool", "other"), "tools", {"PATH": str(tmp_path)}, tmp_path)

    assert (found.path, found.root) == (tree / "usr/bin/other", tree)
    assert str(tree / "usr/lib/x86_64-linux-gnu") in found.environment["LD_LIBRARY_PATH"].split(os.pathsep)


@pytest.mark.parametrize("kind", [Bogofilter, SpamProbe, SpamAssassin, Rspamd])
def test_program_when_it_is_nowhere_then_the_error_names_the_package_and_what_to_run(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(programs, "ASIDE", tmp_path)

    with pytest.raises(ToolMissing, match=rf"(?i)Debian's {kind.__name__}.*fetch\.sh"):
        kind({"PATH": str(tmp_path)})


def test_run_when_a_program_fails_then_the_error_says_what_it_said(tmp_path):
    with pytest.raises(TrainerError, match="failed with 3: broken"):
        programs.run(SHELL, ["-c", "echo broken >&2; exit 3"], tmp_path)


def test_run_when_a_program_takes_too_long_then_it_is_ended_and_told(tmp_path):
    with pytest.raises(TrainerError, match="timed out"):
        programs.run(SHELL, ["-c", "read forever </dev/zero"], tmp_path, timeout_seconds=0.2)


def test_lines_when_the_process_ends_then_the_error_holds_its_last_words(tmp_path):
    with started(SHELL, ["-c", "read line; echo no such rule >&2; exit 1"], tmp_path) as process:
        lines = Lines(process, tmp_path / "sh.log", patience_seconds=10)

        with pytest.raises(TrainerError, match="no such rule"):
            lines.ask("score")


def test_lines_when_the_process_is_silent_then_it_is_told_after_the_limit(tmp_path):
    with started(SHELL, ["-c", "read a; read b"], tmp_path) as process:
        lines = Lines(process, tmp_path / "sh.log", patience_seconds=0.1)

        with pytest.raises(TrainerError, match="no answer"):
            lines.ask("score")

    assert process.returncode is not None


def test_await_ready_when_the_process_ends_first_then_the_error_holds_its_last_words(tmp_path):
    with started(SHELL, ["-c", "echo port taken >&2; exit 1"], tmp_path) as process:
        process.wait(10)

        with pytest.raises(TrainerError, match="port taken"):
            await_ready(process, lambda: False, "tool", tmp_path / "sh.log", patience_seconds=10)


def test_started_when_the_block_fails_then_the_process_is_ended(tmp_path):
    stack = ExitStack()
    process = stack.enter_context(started(SHELL, ["-c", "read forever"], tmp_path))

    with pytest.raises(ZeroDivisionError), stack:
        raise ZeroDivisionError

    assert process.returncode is not None


def test_as_mail_when_it_carries_an_sms_then_the_text_is_all_that_differs():
    ham, spam = messages(2, 1, Channel.SMS)

    heads = [carrier.as_mail(example).partition(b"\n\n")[0] for example in (ham, spam)]
    bodies = [carrier.as_mail(example).partition(b"\n\n")[2] for example in (ham, spam)]

    assert heads[0] == heads[1]
    assert bodies == [ham.raw + b"\n", spam.raw + b"\n"]


def test_chosen_when_a_name_is_none_then_the_error_lists_those_there_are():
    with pytest.raises(TrainerError, match=r"'crm114'.*bogofilter"):
        chosen(["svm", "crm114"])
