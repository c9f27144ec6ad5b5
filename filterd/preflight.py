"""Everything about a configuration that can be found wrong before the first message."""

from __future__ import annotations

import ssl
from pathlib import Path

from filterd.core.bundle import SPEC_FILE
from filterd.core.envelope import Channel
from filterd.errors import BundleError, ConfigError
from filterd.inference.registry import read_bundle
from filterd.policies import policies_of
from filterd.settings import Config


def check(config: Config) -> None:
    """Raises ConfigError with the setting for whatever cannot work: policy, certificates, pinned bundles."""
    policies_of(config)
    smtp, server, models = config.smtp, config.server, config.models
    _check_certificate("smtp.tls_certificate", smtp.tls_certificate, smtp.tls_key)
    _check_certificate("server.http_tls_certificate", server.http_tls_certificate, server.http_tls_key)
    if smtp.next_hop_tls_ca:
        _check_authority("smtp.next_hop_tls_ca", smtp.next_hop_tls_ca)
    for key, pinned in (("models.email", models.email), ("models.sms", models.sms)):
        if pinned:
            _check_bundle(key, Path(pinned), Channel(key.rpartition(".")[2]))


def _check_bundle(key: str, folder: Path, channel: Channel) -> None:
    if not (folder / SPEC_FILE).is_file():
        raise ConfigError(f"{key}: no bundle at {folder}: {SPEC_FILE} is missing")
    try:
        spec = read_bundle(folder).spec
    except BundleError as exc:
        raise ConfigError(f"{key}: the bundle at {folder} cannot be used: {exc.detail}") from None
    if spec.channel is not channel:
        raise ConfigError(f"{key}: the bundle at {folder} is of channel {spec.channel.value}")


def _check_certificate(key: str, certificate: str, private: str) -> None:
    if bool(certificate) != bool(private):
        raise ConfigError(f"{key}: certificate and key go together")
    if not certificate:
        return
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, private)
    except (OSError, ssl.SSLError) as exc:
        why = exc.strerror or str(exc)
        raise ConfigError(f"{key}: {certificate} and {private} cannot be used: {why}") from None


def _check_authority(key: str, path: str) -> None:
    try:
        ssl.create_default_context(cafile=path)
    except (OSError, ssl.SSLError) as exc:
        raise ConfigError(f"{key}: {path} cannot be used: {exc.strerror or exc}") from None
