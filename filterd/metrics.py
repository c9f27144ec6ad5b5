"""Every Prometheus series of filterd, in one place. ``docs/metrics.md`` lists them.

Labels come from closed lists only: never an address, domain, id or free text. All pairs exist at zero from the
start, so that the first event already shows in ``increase()``.

With several processes set ``PROMETHEUS_MULTIPROC_DIR`` and call ``use_stable_identity`` before the first
``Metrics`` is made: a restarted worker then goes on with its own files instead of leaving new ones behind.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from enum import StrEnum
from typing import Any, TypeVar, cast

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client import values as prometheus_values

from filterd.core.envelope import Channel
from filterd.core.quality import Estimate
from filterd.core.signed import RESULTS as DKIM_RESULTS
from filterd.core.verdict import Action, Label, OutcomeKind, Reason, ScanFailure, Verdict

STAGES = ("scan", "relay", "hold", "record", "total")
PROVIDERS = (
    *(
        "twilio",
        "vonage",
        "telnyx",
        "plivo",
        "messagebird",
        "bird",
        "sinch",
        "infobip",
        "bandwidth",
        "sns",
        "telerivet",
    ),
    *("kannel", "jasmin", "generic"),
)
WEBHOOK_RESULTS = ("accepted", "duplicate", "partial", "bad_signature", "bad_payload", "unavailable")
TRIAL_RESULTS = ("both_spam", "both_ham", "candidate_spam", "incumbent_spam", "failed", "skipped")
EDGES = ("smtp", "lmtp", "milter", "spamd", "rspamd", "http")
REPORT_ORIGINS = ("mail", "spool", "spamd", "rspamd")
REPORT_RESULTS = ("new", "repeated", "unknown", "unreadable", "refused", "failed")
DIGEST_RESULTS = ("sent", "refused", "failed")
BOUNDS = ("low", "estimate", "high")
AUDIT_STATES = ("waiting", "ham", "spam")
DRIFTS = ("scores", "scripts", "share")
UNJUDGED = ("too_large", "bare_newline", "loop", "busy", "broken", "client_gone")

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 90)
_EFFECT_SECONDS = (0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 600)
_PROBABILITIES = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1.0)

Series = TypeVar("Series", Counter, Histogram)


def use_stable_identity(worker: str) -> None:
    """Name this process's metric files after ``worker`` instead of its pid; before any metric is made."""
    prometheus_values.ValueClass = prometheus_values.MultiProcessValue(  # type: ignore[no-untyped-call]  # untyped there
        process_identifier=lambda: worker
    )


class Metrics:
    """The series, registered on ``prometheus_registry``."""

    def __init__(self, prometheus_registry: CollectorRegistry) -> None:
        registry = prometheus_registry
        self._children: dict[tuple[Any, tuple[str, ...]], Any] = {}
        self.messages = Counter(
            "filterd_messages", "Messages judged, by decision.", ("channel", "action", "reason"), registry=registry
        )
        self.outcomes = Counter(
            "filterd_outcomes", "Messages by what happened to them.", ("channel", "outcome"), registry=registry
        )
        self.ambiguous = Counter(
            "filterd_ambiguous", "Messages whose next hop fell silent after the final dot.", registry=registry
        )
        self.stage_seconds = Histogram(
            "filterd_stage_seconds", "Time per stage of a message.", ("stage",), buckets=_SECONDS, registry=registry
        )
        self.spam_probability = Histogram(
            "filterd_spam_probability",
            "Calibrated probability of scored messages.",
            ("channel",),
            buckets=_PROBABILITIES,
            registry=registry,
        )
        self.message_bytes = Counter(
            "filterd_message_bytes", "Bytes received in messages.", ("channel",), registry=registry
        )
        self.in_flight = Gauge(
            "filterd_in_flight", "Messages being processed.", registry=registry, multiprocess_mode="livesum"
        )
        self.unjudged = Counter(
            "filterd_unjudged", "Messages that began to arrive and were not judged.", ("why",), registry=registry
        )
        self.dkim = Counter(
            "filterd_dkim_signatures", "DKIM signatures that were verified here.", ("result",), registry=registry
        )
        self.sessions = Gauge(
            "filterd_sessions", "Open connections.", ("edge",), registry=registry, multiprocess_mode="livesum"
        )
        self.sessions_refused = Counter(
            "filterd_sessions_refused", "Connections refused over a limit.", ("edge",), registry=registry
        )
        self.session_errors = Counter(
            "filterd_session_errors", "Exceptions nothing else caught: bugs.", ("edge",), registry=registry
        )
        self.record_failures = Counter(
            "filterd_record_failures", "Verdicts that could not be stored.", registry=registry
        )
        self.scan_failures = Counter(
            "filterd_scan_failures", "Messages without a probability.", ("kind",), registry=registry
        )
        self.scanners_replaced = Counter(
            "filterd_scanners_replaced", "Scanner processes killed or lost.", registry=registry
        )
        self.scan_up = Gauge(
            "filterd_scan_up", "1 while messages can be scored.", registry=registry, multiprocess_mode="livemin"
        )
        self.relay_failures = Counter(
            "filterd_relay_failures", "Failures of the next hop.", ("channel",), registry=registry
        )
        self.relay_connections = Gauge(
            "filterd_relay_connections", "Connections to the next hop.", registry=registry, multiprocess_mode="livesum"
        )
        self.quarantine_messages = Gauge(
            "filterd_quarantine_messages", "Messages held.", registry=registry, multiprocess_mode="livemostrecent"
        )
        self.releases = Counter("filterd_releases", "Messages released by people.", registry=registry)
        self.digests = Counter("filterd_digests", "Digest mails.", ("result",), registry=registry)
        self.feedback = Counter("filterd_feedback", "Labels given by people.", ("label",), registry=registry)
        self.reports = Counter(
            "filterd_reports",
            "Messages reported by mail, spool, spamd or rspamd, and reports that failed.",
            ("origin", "result"),
            registry=registry,
        )
        self.reports_remembered = Gauge(
            "filterd_reports_remembered",
            "Labels that near-duplicates are recognised by.",
            registry=registry,
            multiprocess_mode="livemostrecent",
        )
        self.report_to_effect_seconds = Histogram(
            "filterd_report_to_effect_seconds",
            "From a label or its revocation until a worker acts on it.",
            buckets=_EFFECT_SECONDS,
            registry=registry,
        )
        self.rules = Gauge(
            "filterd_rules",
            "Rules set at run time that workers go by.",
            registry=registry,
            multiprocess_mode="livemostrecent",
        )
        self.rule_to_effect_seconds = Histogram(
            "filterd_rule_to_effect_seconds",
            "From a rule set at run time or its revocation until a worker acts on it.",
            buckets=_EFFECT_SECONDS,
            registry=registry,
        )
        self.reports_learned = Gauge(
            "filterd_reports_learned",
            "Labels the online weights of the model in service were made of.",
            ("channel",),
            registry=registry,
            multiprocess_mode="livemostrecent",
        )
        self.site_calibrated = Gauge(
            "filterd_site_calibrated",
            "1 while this site's calibration holds for the model in service.",
            ("channel",),
            registry=registry,
            multiprocess_mode="livemostrecent",
        )
        self._add_quality(registry)
        self.webhooks = Counter("filterd_webhooks", "Webhook calls.", ("provider", "result"), registry=registry)
        self.sms_forward_failures = Counter(
            "filterd_sms_forward_failures", "Failed calls of a customer's URL.", ("provider",), registry=registry
        )
        self.store_up = Gauge(
            "filterd_store_up", "1 while the database answers.", registry=registry, multiprocess_mode="livemin"
        )
        self.model_info = Gauge(
            "filterd_model_info",
            "1 for the bundle in service.",
            ("channel", "model_id"),
            registry=registry,
            multiprocess_mode="livemax",
        )
        self.model_loaded = Gauge(
            "filterd_model_loaded_timestamp_seconds",
            "When the bundle was loaded.",
            ("channel",),
            registry=registry,
            multiprocess_mode="livemax",
        )
        self.model_swaps = Counter(
            "filterd_model_swaps", "Attempts to change the bundle.", ("result",), registry=registry
        )
        self.model_rollbacks = Counter(
            "filterd_model_rollbacks",
            "Bundles taken out of service because people contradicted them more than the ones before.",
            ("channel",),
            registry=registry,
        )
        self.trials = Counter(
            "filterd_trials",
            "Messages a candidate scored beside the incumbent, by what came out.",
            ("channel", "result"),
            registry=registry,
        )
        self._start_at_zero()

    def _add_quality(self, registry: CollectorRegistry) -> None:
        """What one worker works out from the store every minute; NaN stands for what is not known.

        The others leave them at zero without a time: the most recent value is the one that shows.
        """

        def gauge(name: str, meaning: str, *labels: str) -> Gauge:
            return Gauge(name, meaning, labels, registry=registry, multiprocess_mode="livemostrecent")

        self.ham_loss = gauge(
            "filterd_ham_loss_ratio", "Ham not accepted / ham of 7 days, with 95 % bounds.", "channel", "bound"
        )
        self.spam_catch = gauge(
            "filterd_spam_catch_ratio", "Spam not accepted / spam of 7 days, with 95 % bounds.", "channel", "bound"
        )
        self.audit_messages = gauge(
            "filterd_audit_messages", "Messages of 7 days drawn at random to be labelled.", "channel", "state"
        )
        self.calibration_error = gauge(
            "filterd_calibration_error_ratio",
            "Expected calibration error on audited messages of 30 days; NaN below 20 labels.",
            "channel",
        )
        self.drift = gauge(
            "filterd_drift_psi",
            "Population stability index of the last day against the model's first week; NaN before there are both.",
            "channel",
            "of",
        )
        self.label_age = gauge(
            "filterd_label_age_seconds", "Since the latest label that stands was given; NaN without one.", "channel"
        )
        self.model_age = gauge(
            "filterd_model_age_seconds", "Since the bundle in service was trained, by its id; NaN else.", "channel"
        )
        self.quality_computed = gauge("filterd_quality_timestamp_seconds", "When these estimates were last worked out.")

    @classmethod
    def unread(cls) -> Metrics:
        """Series that nobody scrapes, for commands."""
        return cls(CollectorRegistry())

    def observe(self, verdict: Verdict) -> None:
        """Count one message."""
        channel, decision = verdict.channel.value, verdict.decision
        child = self._child
        child(self.messages, channel, decision.action.value, decision.reason.value).inc()
        child(self.outcomes, channel, verdict.outcome.kind.value).inc()
        child(self.message_bytes, channel).inc(verdict.size_bytes)
        if verdict.outcome.ambiguous:
            self.ambiguous.inc()
        if decision.scan:
            child(self.spam_probability, channel).observe(decision.scan.probability)
        for stage, seconds in verdict.timings.items():
            child(self.stage_seconds, stage).observe(seconds)

    def _child(self, series: Series, *labels: str) -> Series:
        """What ``series.labels`` gives, found without its checks and its lock, which take ten times as long."""
        found = self._children.get((series, labels))
        if found is None:
            found = self._children[series, labels] = series.labels(*labels)
        return cast("Series", found)

    def show_rates(self, channel: Channel, ham_loss: Estimate, spam_catch: Estimate) -> None:
        """Show what is estimated of one channel."""
        for series, found in ((self.ham_loss, ham_loss), (self.spam_catch, spam_catch)):
            for bound, value in zip(BOUNDS, (found.low, found.estimate, found.high), strict=True):
                series.labels(channel.value, bound).set(value)

    def _start_at_zero(self) -> None:
        channels = _values(Channel)
        _touch(self.messages, channels, _values(Action), _values(Reason))
        _touch(self.outcomes, channels, _values(OutcomeKind))
        _touch(self.trials, channels, TRIAL_RESULTS)
        for by_channel in (self.spam_probability, self.message_bytes, self.relay_failures, self.model_rollbacks):
            _touch(by_channel, channels)
        for by_edge in (self.sessions, self.sessions_refused, self.session_errors):
            _touch(by_edge, EDGES)
        _touch(self.unjudged, UNJUDGED)
        _touch(self.dkim, DKIM_RESULTS)
        _touch(self.stage_seconds, STAGES)
        _touch(self.scan_failures, _values(ScanFailure))
        _touch(self.digests, DIGEST_RESULTS)
        _touch(self.feedback, _values(Label))
        _touch(self.reports, REPORT_ORIGINS, REPORT_RESULTS)
        _touch(self.sms_forward_failures, PROVIDERS)
        for rate in (self.ham_loss, self.spam_catch):
            _touch(rate, channels, BOUNDS)
        _touch(self.audit_messages, channels, AUDIT_STATES)
        _touch(self.drift, channels, DRIFTS)
        for worked_out in (self.calibration_error, self.label_age, self.model_age, self.site_calibrated):
            _touch(worked_out, channels)
        _touch(self.webhooks, PROVIDERS, WEBHOOK_RESULTS)
        _touch(self.model_swaps, ("loaded", "refused"))


class SupervisorMetrics:
    """The series of the supervisor itself, in its own process and registry."""

    def __init__(self, prometheus_registry: CollectorRegistry) -> None:
        registry = prometheus_registry
        self.workers = Gauge(
            "filterd_workers_ready", "Workers that listen, score and reach the store.", registry=registry
        )
        self.restarts = Counter("filterd_worker_restarts", "Workers that died and were restarted.", registry=registry)
        self.reloads = Counter("filterd_reloads", "Attempts to read the policy again.", ("result",), registry=registry)
        _touch(self.reloads, ("loaded", "refused"))


def _touch(series: Counter | Gauge | Histogram, *labels: Iterable[str]) -> None:
    for values in itertools.product(*labels):
        series.labels(*values)


def _values(members: type[StrEnum]) -> list[str]:
    return [member.value for member in members]
