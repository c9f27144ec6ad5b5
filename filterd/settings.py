"""The settings: every section and key, its type, default, unit and meaning.

``docs/config.md`` and ``deploy/etc/filterd.toml`` are checked against the descriptions here. Units are in the
names. Nothing here reads a file or the environment: that is ``config.py``.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from filterd.core.verdict import Action
from filterd.edge_settings import DkimSettings, LmtpSettings, MilterSettings, RspamdSettings, SpamdSettings
from filterd.setting_types import (
    LOOPBACK,
    Address,
    Count,
    Mailbox,
    Network,
    Positive,
    Probability,
    Secret,
    Section,
    Sender,
)
from filterd.sms_settings import SmsSettings
from filterd.web_settings import WebSettings


class ServerSettings(Section):
    """The daemon as a whole."""

    workers: Count = Field(0, description="Worker processes; 0 means one per core.")
    state_dir: str = Field("/var/lib/filterd", description="Folder for the database, the secret and promoted models.")
    runtime_dir: str = Field(
        "",
        description="Folder for metric files and control sockets, best on tmpfs; empty means a private temporary one.",
    )
    admin_listen: Address = Field("127.0.0.1:9464", description="Where /metrics, /healthz and /readyz are served.")
    http_listen: Address | Literal[""] = Field(
        "127.0.0.1:8025", description="Where webhooks, the API and the web pages are served; empty turns them off."
    )
    http_tls_certificate: str = Field(
        "", description="PEM file for HTTPS; empty means plain HTTP behind a proxy of yours."
    )
    http_tls_key: str = Field("", description="PEM file of the key.")
    drain_timeout_seconds: Positive = Field(30.0, description="How long messages in flight may take after SIGTERM.")
    secret: Secret = Field(
        Secret(),
        description="Key for address hashes in logs and for release signatures; empty means state_dir/secret, made at first start. The same on every host.",
    )
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="auto means JSON unless standard error is a terminal."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severe event to log.")


class SmtpSettings(Section):
    """The SMTP edge and the relay to the next hop."""

    listen: tuple[Address, ...] = Field(
        ("127.0.0.1:10025",), description="Where mail is received; empty turns the edge off."
    )
    hostname: str = Field("", description="Our name in greetings and Received lines; empty means the machine's.")
    position: Literal["before-queue", "after-queue"] = Field(
        "before-queue",
        description="before-queue may reject in the session; after-queue (content_filter) never does, rejecting would bounce to forged senders.",
    )
    next_hop: Address = Field("127.0.0.1:10026", description="The mail server accepted mail is handed to.")
    next_hop_protocol: Literal["smtp", "lmtp"] = Field(
        "smtp",
        description="lmtp is for a server that stores mail, as Dovecot does. Mail that comes by SMTP then has one recipient per message, by LMTP as many as it likes.",
    )
    next_hop_tls: Literal["off", "opportunistic", "required"] = Field(
        "off", description="STARTTLS towards the next hop."
    )
    next_hop_tls_ca: str = Field(
        "", description="PEM file of the authority that signed the next hop's certificate; empty means the system's."
    )
    next_hop_connections: Count = Field(20, description="Idle connections kept open per worker.")
    tls_certificate: str = Field("", description="PEM file; with tls_key it offers STARTTLS.")
    tls_key: str = Field("", description="PEM file of the key.")
    tls_required: bool = Field(False, description="Refuse mail on connections without TLS.")
    relay_domains: tuple[str, ...] = Field(
        (), description="Recipient domains mail is accepted for from anywhere; subdomains with a leading dot."
    )
    relay_networks: tuple[Network, ...] = Field(
        LOOPBACK, description="Clients that may send to any domain: the mail server in front."
    )
    xforward_networks: tuple[Network, ...] = Field(LOOPBACK, description="Clients whose XFORWARD is believed.")
    xclient_networks: tuple[Network, ...] = Field((), description="Clients whose XCLIENT is believed.")
    proxy_protocol_networks: tuple[Network, ...] = Field(
        (), description="Clients that must begin with a PROXY protocol header (v1 or v2)."
    )
    trusted_authserv_ids: tuple[str, ...] = Field(
        (),
        description="authserv-ids whose Authentication-Results are kept and read; all others are removed (RFC 8601 section 5). Name only servers that remove fields which merely claim to be theirs.",
    )
    max_message_bytes: Count = Field(26_214_400, description="Larger messages get 552.")
    max_recipients: Count = Field(
        1_000, description="Recipients of one message; Postfix sends up to 1,000 to a proxy filter."
    )
    max_sessions: Count = Field(2_000, description="Connections per worker; more get 421.")
    max_sessions_per_address: Count = Field(
        50, description="Connections per client address and worker, relay_networks excepted."
    )
    max_in_flight_bytes: Count = Field(
        268_435_456, description="Message bytes held in memory per worker; more get 452 at MAIL."
    )
    max_errors: Count = Field(20, description="Errors in one session before it is closed.")
    max_hops: Count = Field(50, description="Received lines before a message counts as looping.")
    bare_newline: Literal["reject", "normalize"] = Field(
        "reject", description="What to do with a CR or LF that stands alone: 550, or turn it into CRLF."
    )
    idle_timeout_seconds: Positive = Field(300.0, description="A session that sends nothing is closed after this.")
    data_timeout_seconds: Positive = Field(600.0, description="Longest time one message may take to arrive.")
    min_data_bytes_per_second: Count = Field(500, description="Slowest accepted message transfer.")
    next_hop_timeout_seconds: Positive = Field(
        80.0, description="Longest wait for the next hop's reply to the end of data."
    )
    connect_timeout_seconds: Positive = Field(
        10.0, description="Longest wait for a connection to the next hop and its greeting."
    )


class ScanSettings(Section):
    """The scanner processes."""

    scanners_per_worker: Count = Field(1, description="Scanner processes per worker.")
    timeout_seconds: Positive = Field(
        8.0, description="Wall-clock limit for one message; the scanner is killed and replaced."
    )
    memory_bytes: Count = Field(
        1_073_741_824, description="Address-space limit of one scanner above what the model itself needs."
    )
    queue_per_scanner: Count = Field(16, description="Messages waiting per scanner; more get 452.")
    max_parts: Count = Field(1_000, description="MIME parts read per message.")
    max_depth: Count = Field(20, description="MIME nesting read per message.")
    max_header_bytes: Count = Field(262_144, description="Bytes of headers read per message.")
    max_html_bytes: Count = Field(524_288, description="Bytes of HTML read per part.")
    max_decoded_bytes: Count = Field(67_108_864, description="Bytes decoded per message.")
    max_text_chars: Count = Field(65_536, description="Characters of text read per message.")


class ModelSettings(Section):
    """Where the model bundles come from."""

    directory: str = Field(
        "",
        description="Registry folder of promoted bundles; empty means state_dir/models. A channel without one there uses the bundle in the package.",
    )
    email: str = Field("", description="Path of one email bundle, pinned; empty follows the registry.")
    sms: str = Field("", description="Path of one SMS bundle, pinned; empty follows the registry.")
    public_key: str = Field(
        "",
        description="PEM file of an Ed25519 key; bundles outside the package then need a signature by its other half (filterd model sign).",
    )
    auto_rollback: bool = Field(
        True,
        description="Take a canary or a promoted bundle out of service when people contradict it far more than the one before.",
    )


class RuleSettings(Section):
    """Thresholds: the name of an operating point of the bundle, a probability, or "off"."""

    tag_at: Probability = Field("normal", description="Add spam headers from here on.")
    quarantine_at: Probability = Field("lenient", description="Hold from here on.")
    reject_at: Probability = Field(None, description="Refuse with 550 from here on; before the queue only.")
    subject_tag: str = Field(
        "",
        max_length=64,
        pattern=r"^[ -~]*$",
        description="Printable ASCII put in front of the subject of tagged mail.",
    )
    unscannable: Action = Field(
        Action.QUARANTINE,
        description="What to do with a message that breaks a limit: quarantine, tag, defer or reject.",
    )
    enabled: bool = Field(True, description="False lets everything pass that no deny entry names.")
    allow: tuple[Sender, ...] = Field(
        (), description="Addresses, domains, networks and phone numbers that always pass."
    )
    deny: tuple[Sender, ...] = Field((), description="Addresses, domains, networks and phone numbers that never pass.")


class OverrideSettings(RuleSettings):
    """What differs for one recipient address or domain; keys left out follow the default rule."""

    recipients: tuple[str, ...] = Field(
        min_length=1, description="Addresses, phone numbers or domains this applies to."
    )


class PolicySettings(RuleSettings):
    """Thresholds, lists, and what a failure means."""

    deny_action: Literal["quarantine", "reject", "tag"] = Field(
        "quarantine", description="What happens to a sender on a deny list."
    )
    allow_needs_auth: bool = Field(
        False,
        description="Let an allow entry for an address or domain count only for a visible author with dmarc=pass or a good DKIM signature of the same domain, as a server in smtp.trusted_authserv_ids found. Networks need none.",
    )
    scan_down: Literal["ladder", "defer", "accept", "quarantine"] = Field(
        "ladder",
        description="When nothing can be scored: ladder defers for scan_down_defer_seconds, then passes mail marked as unscanned.",
    )
    scan_down_defer_seconds: Positive = Field(300.0, description="How long the ladder defers.")
    store_down: Literal["defer", "tag"] = Field(
        "defer", description="When a message should be held but the database is down: defer, or tag and deliver."
    )
    overrides: tuple[OverrideSettings, ...] = Field((), description="Tables of what differs for some recipients.")


class StoreSettings(Section):
    """The database."""

    url: Secret = Field(
        Secret(),
        description="SQLAlchemy URL; empty means SQLite at state_dir/filterd.db. postgresql+asyncpg://user:password@host/name to scale.",
    )
    timeout_seconds: Positive = Field(5.0, description="Longest wait for one statement or lock.")
    group_commit_seconds: Annotated[float, Field(ge=0)] = Field(
        0.002, description="How long a commit waits for others to share it."
    )
    min_free_bytes: Count = Field(
        104_857_600, description="Free disk space below which mail gets 452 at MAIL; SQLite only."
    )
    verdict_retention_days: Count = Field(90, description="Days verdicts are kept; 0 keeps them.")
    quarantine_retention_days: Count = Field(30, description="Days held messages are kept; 0 keeps them.")
    deleted_retention_days: Count = Field(
        7, description="Days a deleted message can be put back; 0 drops its body within the hour."
    )
    feedback_retention_days: Count = Field(0, description="Days feedback is kept; 0 keeps it.")
    input_retention_days: Count = Field(
        7,
        description="Days the model's input of every message is kept, as numbers without text, 6 KB each; a reported message's as long as its label. Labels move the model at once and candidates are replayed with it. 0 keeps none.",
    )
    keeps_words: bool = Field(
        True, description="Keep with every verdict the words that moved its probability most, to explain it by."
    )
    sms_retention_days: Count = Field(
        30, description="Days decided SMS are kept, for duplicate detection; 0 keeps them."
    )


class LearningSettings(Section):
    """What people's reports do before the next model has learned from them."""

    memory_days: Count = Field(
        45, description="Days a report acts on near-duplicates of its message; 0 lets it act as long as it stands."
    )
    memory_size: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        200_000, description="Reports every worker keeps at hand, the newest ones; 40 bytes and a little text each."
    )
    domain_reporters: Positive = Field(
        2.0, description="Independent reporters who must agree before a report acts for everybody in their domain."
    )
    all_reporters: Positive = Field(
        3.0, description="Independent reporters who must agree before a report acts for every recipient."
    )
    sure_factor: Annotated[float, Field(ge=1)] = Field(
        10.0,
        description="Times as many must agree where the model has no doubt of the opposite: below the operating point strict, or from lenient on.",
    )
    reporter_daily: Count = Field(30, description="Labels of one reporter a day that count for others.")
    sender_daily: Count = Field(
        60, description="Labels of each kind on mail of one sender domain a day that count for others."
    )
    audit_ratio: Annotated[float, Field(ge=0, le=1)] = Field(
        0.002,
        description="Share of the messages that get through or are held that is drawn at random to be labelled (filterd questions): what the quality metrics rest on.",
    )
    campaign_reports: Count = Field(
        20, description="Labels of each kind on near copies of one message that count for others."
    )
    report_spam_to: Mailbox = Field(
        "", description="Address whose mail reports the messages attached to it as spam; empty turns it off."
    )
    report_ham_to: Mailbox = Field(
        "",
        description="The same for ham. Where both are one address, a feedback report (RFC 5965) says which it is.",
    )
    reporters: tuple[str, ...] = Field(
        (), description="Addresses and domains (without those below) whose reports by mail are believed."
    )
    report_networks: tuple[Network, ...] = Field(
        (),
        description="Clients that vouch for the senders of reports: they let nobody write to the report addresses but who has logged in, under their own address.",
    )
    spool_dir: str = Field(
        "", description="Folder whose spam/ and ham/ take mail that scripts move there; empty turns it off."
    )


class Config(Section):
    """The whole configuration."""

    server: ServerSettings = ServerSettings()
    smtp: SmtpSettings = SmtpSettings()
    lmtp: LmtpSettings = LmtpSettings()
    milter: MilterSettings = MilterSettings()
    spamd: SpamdSettings = SpamdSettings()
    rspamd: RspamdSettings = RspamdSettings()
    dkim: DkimSettings = DkimSettings()
    scan: ScanSettings = ScanSettings()
    models: ModelSettings = ModelSettings()
    policy: PolicySettings = PolicySettings()
    sms: SmsSettings = SmsSettings()
    store: StoreSettings = StoreSettings()
    learning: LearningSettings = LearningSettings()
    web: WebSettings = WebSettings()

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        if self.smtp.position == "after-queue" and self.policy.reject_at is not None:
            raise ValueError(
                'policy.reject_at cannot be used with smtp.position = "after-queue": it would bounce to forged senders'
            )
        if bool(self.smtp.tls_certificate) != bool(self.smtp.tls_key):
            raise ValueError("smtp.tls_certificate and smtp.tls_key go together")
        if self.smtp.tls_required and not self.smtp.tls_certificate:
            raise ValueError("smtp.tls_required needs smtp.tls_certificate")
        return self
