"""What the daemon keeps on disk besides the database: the state folder and the installation's secret."""

from __future__ import annotations

import errno
import os
import secrets
from pathlib import Path

from filterd.errors import ConfigError, FilterdError, StateUnavailable
from filterd.settings import Config

SECRET_FILE = "secret"  # noqa: S105  # a file name
_SECRET_BYTES = 32
_PASSING = frozenset({errno.EIO, errno.ESTALE, errno.ENXIO, errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE})
"""What no change of the configuration mends. A daemon that called these a wrong configuration would stay down, since
systemd is told not to start it again after one."""


def prepare(config: Config) -> Path:
    """The state folder, made with mode 0700 if absent. Raises ConfigError, or StateUnavailable when its disk fails."""
    folder = Path(config.server.state_dir)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise _error(exc, f"server.state_dir: {folder} cannot be made") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigError(f"server.state_dir: {folder} cannot be written to")
    return folder


def secret_of(config: Config) -> bytes:
    """The key for address hashes and release signatures; made at first start. Raises as ``prepare``."""
    if config.server.secret:
        return config.server.secret.reveal().encode()
    path = prepare(config) / SECRET_FILE
    try:
        return path.read_bytes().strip() or _make_secret(path)
    except FileNotFoundError:
        return _make_secret(path)
    except OSError as exc:
        raise _error(exc, f"server.secret: {path} cannot be read") from None


def _make_secret(path: Path) -> bytes:
    """A new secret at ``path``, mode 0600, or the one that another process made meanwhile."""
    value = secrets.token_hex(_SECRET_BYTES).encode()
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(value + b"\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            if found := path.read_bytes().strip():
                return found
            draft.replace(path)
            return value
        finally:
            draft.unlink(missing_ok=True)
    except OSError as exc:
        raise _error(exc, f"server.secret: {path} cannot be made") from None
    return value


def _error(exc: OSError, what: str) -> FilterdError:
    """The operator's error, or the disk's."""
    kind = StateUnavailable if exc.errno in _PASSING else ConfigError
    return kind(f"{what}: {exc.strerror}")
