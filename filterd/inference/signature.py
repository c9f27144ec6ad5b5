"""Who may say what serves: an Ed25519 signature (RFC 8032) over ``bundle.json``, which names every file's checksum."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from filterd.core.bundle import SIGNATURE_FILE, SPEC_FILE
from filterd.errors import BundleError, ConfigError


def sign(folder: Path, key: Path) -> None:
    """Sign the bundle in ``folder`` with the private key in a PEM file. Raises ConfigError and BundleError."""
    try:
        private = load_pem_private_key(key.read_bytes(), None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm):
        raise ConfigError(f"{key} is not a PEM file with a private key without a password") from None
    if not isinstance(private, Ed25519PrivateKey):
        raise ConfigError(f"{key} is not an Ed25519 key")
    try:
        signature = private.sign((folder / SPEC_FILE).read_bytes())
        (folder / SIGNATURE_FILE).write_text(base64.b64encode(signature).decode() + "\n", encoding="ascii")
    except OSError as exc:
        raise BundleError(f"{folder}: {exc.strerror}") from None


def public_key(path: Path) -> Ed25519PublicKey:
    """The key in a PEM file. Raises ConfigError."""
    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm):
        raise ConfigError(f"models.public_key: {path} is not a PEM file with a public key") from None
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError(f"models.public_key: {path} is not an Ed25519 key")
    return key


def verify(folder: Path, key: Ed25519PublicKey) -> None:
    """Raises BundleError unless the bundle in ``folder`` was signed with the other half of ``key``."""
    try:
        signature = base64.b64decode((folder / SIGNATURE_FILE).read_text(encoding="ascii"), validate=False)
        key.verify(signature, (folder / SPEC_FILE).read_bytes())
    except FileNotFoundError:
        raise BundleError(f"{folder} is not signed, and models.public_key asks for a signature") from None
    except (OSError, UnicodeDecodeError, binascii.Error, InvalidSignature):
        raise BundleError(f"{folder}: the signature is not of this bundle and the key in models.public_key") from None
