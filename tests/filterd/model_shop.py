"""A registry with a few small bundles, for the tests of pages and API."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

from filterd.core.envelope import Channel
from filterd.inference.registry import Registry
from filterd.promotion import Promoter
from filterd.testing import MemoryStore
from filterd.web.model_parts import ModelParts
from tests.filterd.tiny_bundle import write_bundle

PACKAGED, FIRST, SECOND = (f"email-2026010{n}T000000-0000000{n}" for n in range(3))
CARD = "# The card\n\nFor tests. <script>alert(1)</script>\n"
REPORT = {
    "rows": [
        {
            "corpus": "uci",
            "ham": 200,
            "spam": 50,
            "points": {"normal": {"ham": 200, "spam": 50, "ham_lost": 1, "spam_caught": 40}},
        }
    ],
    "history": {"loss": [0.5, 0.25], "validation_loss": [0.6, 0.3]},
    "gate": {
        "incumbent": FIRST,
        "rules": [{"rule": "ham loss", "result": "no", "figures": "3 of 200", "refuses": True}],
    },
}


@dataclass
class Shop:
    """What is in the registry, and who is told of changes."""

    folder: Path
    store: MemoryStore
    registry: Registry
    parts: ModelParts = field(init=False)
    serving: dict[Channel, str] = field(default_factory=lambda: {Channel.EMAIL: FIRST, Channel.SMS: "sms-one"})
    """What the worker serves: it follows the registry a moment later."""

    def __post_init__(self) -> None:
        self.parts = ModelParts(
            registry=lambda: self.registry,
            pinned=dict,
            serving=lambda: self.serving,
            promoter=Promoter(lambda: self.registry, self.store),
            books=self.store,
        )

    def current(self) -> str | None:
        return self.registry.current(Channel.EMAIL)

    def file(self, *names: str) -> Path:
        return self.folder.joinpath("models", "email", *names)


def stock(folder: Path) -> Path:
    """Bundles for shops. ``FIRST`` serves, ``SECOND`` waits; of SMS there is nothing but the packaged bundle."""
    write_bundle(folder / "package" / "email", Channel.EMAIL, id=PACKAGED, probes=())
    write_bundle(folder / "package" / "sms", Channel.SMS, id="sms-one", probes=())
    registry = Registry(folder / "models", folder / "package")
    for id in (FIRST, SECOND):
        registry.publish(write_bundle(folder / "sources" / id, Channel.EMAIL, id=id, probes=()))
        (folder / "models" / "email" / id / "card.md").write_text(CARD, encoding="utf-8")
        (folder / "models" / "email" / id / "report.json").write_text(json.dumps(REPORT), encoding="utf-8")
    registry.promote(Channel.EMAIL, FIRST)
    return folder


def a_shop(stocked: Path, folder: Path, store: MemoryStore) -> Shop:
    """A shop of its own with what is in ``stocked``."""
    shutil.copytree(stocked, folder, dirs_exist_ok=True)
    return Shop(folder, store, Registry(folder / "models", folder / "package"))


def pinned(parts: ModelParts, folder: str) -> ModelParts:
    """The same where the configuration names the bundle of e-mail."""
    return replace(parts, pinned=lambda: {Channel.EMAIL: folder})
