"""Where the bundles of this installation are, and whether they may serve."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from filterd.core.envelope import Channel
from filterd.errors import BundleError, ConfigError
from filterd.inference.agreed import AgreedRegistry
from filterd.inference.registry import Registry, packaged_models
from filterd.inference.signature import public_key, verify
from filterd.model_ports import SharedModels, Trial
from filterd.model_sharing import ModelSharing
from filterd.scan.pool import ScannerPool
from filterd.settings import Config
from filterd.store.engine import database_url, sqlite_path


def registry_of(config: Config) -> Registry:
    """The bundles on disk."""
    return Registry(_directory(config), packaged_models())


def _directory(config: Config) -> Path:
    return Path(config.models.directory or Path(config.server.state_dir) / "models")


def sharing(config: Config, books: SharedModels) -> ModelSharing:
    """What brings this host's registry and those of the others together.

    Does nothing where the database is a file, which no other host can use. Raises ConfigError.
    """
    is_of_one_host = sqlite_path(database_url(config.store.url.reveal(), config.server.state_dir)) is not None
    books_of_all = None if is_of_one_host else books
    return ModelSharing(lambda: AgreedRegistry(registry_of(config), _directory(config)), books_of_all)


def serving(config: Config) -> Mapping[Channel, Path]:
    """The folder of the bundle that serves each channel. Raises BundleError."""
    return registry_of(config).locate(pinned(config))


def pinned(config: Config) -> Mapping[Channel, str]:
    """The folders of bundles that the configuration names; empty where it leaves that to the registry."""
    return {Channel.EMAIL: config.models.email, Channel.SMS: config.models.sms}


class ModelFiles:
    """Which bundles the scanners serve and try, by the configuration that holds now."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def registry(self) -> Registry:
        """The bundles on disk."""
        return registry_of(self._config)

    def pinned(self) -> Mapping[Channel, str]:
        """The folders of bundles that the configuration names."""
        return pinned(self._config)

    def locate(self) -> Mapping[Channel, Path]:
        """Raises BundleError."""
        return self._signed(serving(self._config))

    def trials(self) -> Mapping[Channel, Trial]:
        """Candidates on trial. Raises BundleError."""
        registry = self.registry()
        return {channel: trial for channel in Channel if (trial := registry.trial(channel)) is not None}

    def candidates(self, ids: Mapping[Channel, str]) -> Mapping[Channel, Path]:
        """Folders of candidates. Raises BundleError."""
        return self._signed({channel: self.registry().folder(channel, id) for channel, id in ids.items()})

    def is_rolling_back(self) -> bool:
        """Whether a bundle that does worse is taken back."""
        return self._config.models.auto_rollback

    def _signed(self, folders: Mapping[Channel, Path]) -> Mapping[Channel, Path]:
        """``folders``, each signed where a key is configured; what ships with the package needs no signature."""
        if self._config.models.public_key:
            try:
                key = public_key(Path(self._config.models.public_key))
            except ConfigError as exc:
                raise BundleError(exc.detail) from None
            for folder in folders.values():
                if folder.parent != packaged_models():
                    verify(folder, key)
        return folders

    async def follow(self, config: Config, scanners: ScannerPool) -> None:
        """Serve what ``config`` names. Raises BundleError and goes on as before."""
        before = self._config
        self._config = config
        try:
            await scanners.reload()
        except BundleError:
            self._config = before
            raise
