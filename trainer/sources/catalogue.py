"""Every corpus the trainer knows: its file, its reader, and the terms a model card must name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from filterd.core.envelope import Channel
from trainer.errors import CorpusError
from trainer.example import Example, Label
from trainer.sources import (
    email_csdmc2010,
    email_enron_raw_ham,
    email_enron_spam,
    email_lingspam,
    email_modern,
    email_nazario,
    email_osst_users,
    email_spamassassin,
    email_templates,
    email_usrp_users,
    own_messages,
    sms_mishra_soni,
    sms_modern,
    sms_modern_mail,
    sms_super,
    sms_templates,
    sms_uci,
    sms_yt_combined,
)
from trainer.sources.modern import FOLDER


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where examples come from."""

    file: str
    """Name of the archive in the data folder; empty for messages that come with the code."""
    channel: Channel
    read: Callable[[Path], Iterator[Example]]
    terms: str
    """One line for the model card: what it is, from when, under which terms."""
    is_packaged: bool = False
    """Comes with the trainer instead of lying in the data folder."""
    labels: frozenset[Label] = frozenset(Label)
    """Labels that the corpus is known to hold."""

    def path(self, data: Path) -> Path:
        """Where the corpus lies when ``data`` is the data folder."""
        return (FOLDER if self.is_packaged else data) / self.file

    def examples(self, data: Path) -> Iterator[Example]:
        """The messages of the corpus. Raises CorpusError, at the end too: a label is absent, or all its messages equal.

        Without this a wrong label column goes unnoticed, because other corpora make up for what this one lacks.
        """
        path, counts, first, varied = self.path(data), Counter[Label](), dict[Label, bytes](), set[Label]()
        for example in self.read(path):
            counts[example.label] += 1
            if first.setdefault(example.label, example.raw) != example.raw:
                varied.add(example.label)
            yield example
        for label in sorted(self.labels):
            if not counts[label]:
                raise CorpusError(f"{path}: holds no {label}; is its label column right? fetch it again")
            if counts[label] > 1 and label not in varied:
                raise CorpusError(f"{path}: its {counts[label]} {label} messages are all the same; fetch it again")


_E, _S = Channel.EMAIL, Channel.SMS
_HAM, _SPAM = frozenset((Label.HAM,)), frozenset((Label.SPAM,))

SOURCES: tuple[Source, ...] = (
    Source(
        file="email-spamassassin.tar.xz",
        channel=_E,
        read=email_spamassassin.read,
        terms="SpamAssassin public corpus, 2001-02; published for testing filters, copyright with the senders",
    ),
    Source(
        file="email-csdmc2010.tar.xz",
        channel=_E,
        read=email_csdmc2010.read,
        terms="CSDMC 2010 data mining contest, training part, 2002 and 2009-10; published for research",
    ),
    Source(
        file="email-enron-spam.tar.xz",
        channel=_E,
        read=email_enron_spam.read,
        terms="Enron-Spam (Metsis, Androutsopoulos, Paliouras 2006), 1999-2005; public",
    ),
    Source(
        file="email-enron-raw-ham.tar.xz",
        channel=_E,
        read=email_enron_raw_ham.read,
        labels=_HAM,
        terms="Enron mail corpus (FERC, CMU), five mailboxes, 1999-2002; public",
    ),
    Source(
        file="email-lingspam.tar.xz",
        channel=_E,
        read=email_lingspam.read,
        terms="Ling-Spam (Androutsopoulos et al. 2000); public",
    ),
    Source(
        file="email-nazario.tar.xz",
        channel=_E,
        read=email_nazario.read,
        labels=_SPAM,
        terms="Nazario phishing corpus, 2004-05; public",
    ),
    Source(
        file="email-spam-osst-users.tar.xz",
        channel=_E,
        read=email_osst_users.read,
        labels=_SPAM,
        terms="spam in the public archive of a mailing list, 2019-23; copyright with the senders",
    ),
    Source(
        file="email-ham-usrp-users.tar.xz",
        channel=_E,
        read=email_usrp_users.read,
        labels=_HAM,
        terms="public archive of a technical mailing list, 2019-23; copyright with the writers",
    ),
    Source(
        file="email-templates-ham.tar.xz",
        channel=_E,
        read=email_templates.read,
        labels=_HAM,
        terms="mail templates and newsletters of free software, 2020-25; MIT or Apache-2.0 "
        "(django-allauth, devise-i18n, "
        "haskellweekly, bookstack, sendwithus, postmark, colorlib, keycloak-mfa, konsav) and copyleft "
        "(openstreetmap-website, diaspora, this-week-in-rust, wire-emails, alfio, listmonk)",
    ),
    Source(
        file="",
        channel=_E,
        read=own_messages.read_email,
        terms="modern messages of our own in `trainer/own/email.tsv`; Apache-2.0",
    ),
    Source(
        file="email",
        channel=_E,
        read=email_modern.read,
        terms="mail of today in many languages, written for this project, 2026; Apache-2.0",
        is_packaged=True,
    ),
    Source(
        file="sms-uci.tar.xz",
        channel=_S,
        read=sms_uci.read,
        terms="UCI SMS Spam Collection (Almeida, Gómez Hidalgo, Yamakami 2011); CC BY 4.0",
    ),
    Source(
        file="sms-super.tar.xz",
        channel=_S,
        read=sms_super.read,
        terms="Super SMS dataset (Salman, Ikram, Kaafar), 2003-23; public",
    ),
    Source(
        file="sms-mishra-soni.tar.xz",
        channel=_S,
        read=sms_mishra_soni.read,
        terms="SMS phishing dataset (Mishra, Soni 2022); CC BY 4.0",
    ),
    Source(
        file="sms-yt-combined.tar.xz",
        channel=_S,
        read=sms_yt_combined.read,
        terms="UCI YouTube Spam Collection (Alberto, Lochter, Almeida 2015); CC BY 4.0",
    ),
    Source(
        file="sms-templates-ham.tar.xz",
        channel=_S,
        read=sms_templates.read,
        labels=_HAM,
        terms="wording of one-time codes and bank alerts of free software; MIT, Apache-2.0 and copyleft",
    ),
    Source(
        file="",
        channel=_S,
        read=own_messages.read_sms,
        terms="modern messages of our own in `trainer/own/sms.tsv`; Apache-2.0",
    ),
    Source(
        file="sms",
        channel=_S,
        read=sms_modern.read,
        terms="SMS of today in many languages, written for this project, 2026; Apache-2.0",
        is_packaged=True,
    ),
    Source(
        file="email",
        channel=_S,
        read=sms_modern_mail.read,
        terms="the beginnings of the mail of today written for this project, 2026; Apache-2.0",
        is_packaged=True,
    ),
)


def sources_at(channel: Channel, data: Path) -> tuple[Source, ...]:
    """The sources of one channel that can be read: without a data folder only those that come with the trainer."""
    every = sources_of(channel)
    return every if data.is_dir() else tuple(source for source in every if source.is_packaged or not source.file)


def sources_of(channel: Channel) -> tuple[Source, ...]:
    """The sources of one channel, in a fixed order."""
    return tuple(source for source in SOURCES if source.channel is channel)
