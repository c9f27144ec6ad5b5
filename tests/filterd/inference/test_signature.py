"""A signed bundle is told from one that was changed, signed by somebody else, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from filterd.core.bundle import SIGNATURE_FILE, SPEC_FILE
from filterd.core.envelope import Channel
from filterd.errors import BundleError, ConfigError
from filterd.inference.registry import Registry
from filterd.inference.signature import public_key, sign, verify
from tests.filterd.tiny_bundle import write_bundle


def key_pair(folder: Path, name: str) -> tuple[Path, Path]:
    key = Ed25519PrivateKey.generate()
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return private, public


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "source", Channel.SMS, id="sms-one")


def test_signature_goes_with_the_bundle_and_is_verified(bundle: Path, tmp_path: Path) -> None:
    private, public = key_pair(tmp_path, "ours")
    sign(bundle, private)
    registry = Registry(tmp_path / "registry", tmp_path / "packaged")
    registry.publish(bundle)

    verify(registry.folder(Channel.SMS, "sms-one"), public_key(public))


def test_unsigned_changed_and_strange_bundles_are_refused(bundle: Path, tmp_path: Path) -> None:
    private, public = key_pair(tmp_path, "ours")
    stranger, _ = key_pair(tmp_path, "theirs")
    key = public_key(public)
    with pytest.raises(BundleError, match="not signed"):
        verify(bundle, key)
    sign(bundle, stranger)
    with pytest.raises(BundleError, match="signature"):
        verify(bundle, key)
    sign(bundle, private)
    (bundle / SPEC_FILE).write_text((bundle / SPEC_FILE).read_text() + " ")
    with pytest.raises(BundleError, match="signature"):
        verify(bundle, key)
    (bundle / SIGNATURE_FILE).write_bytes(b"\xff\xfe")
    with pytest.raises(BundleError, match="signature"):
        verify(bundle, key)


def test_files_that_hold_no_such_key_are_refused(bundle: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    key = generate_private_key(SECP256R1())
    other.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    private, _ = key_pair(tmp_path, "ours")

    for attempt in (lambda: sign(bundle, other), lambda: sign(bundle, tmp_path / "none"), lambda: public_key(private)):
        with pytest.raises(ConfigError):
            attempt()
