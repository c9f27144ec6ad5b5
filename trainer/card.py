"""The model card: one page for whoever decides to use a bundle. Source: Mitchell et al. 2019."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from filterd.core.bundle import BundleSpec
from trainer.config import TrainConfig
from trainer.evaluate import lines
from trainer.operating_points import BUDGETS, WORST
from trainer.sources.catalogue import Source, sources_of


def render(
    spec: BundleSpec, config: TrainConfig, report: Mapping[str, Any], read: Sequence[Source] | None = None
) -> str:
    """``card.md``. ``read`` are the sources it was trained on, else all of its channel."""
    rows: Sequence[Mapping[str, Any]] = report["rows"]
    points = [
        f"| `{name}` | {spec.points[name]:.6f} | {100 * BUDGETS[name]:.1f} % |"
        for name in ("lenient", "normal", "strict")
    ]
    sources = [f"- {source.terms}" for source in (sources_of(spec.channel) if read is None else read)]
    if spec.lineage:
        numbers = ", ".join(f"{first}-{last}" if last > first else f"{first}" for first, last in spec.lineage)
        sources.append(f"- labels of people on messages of one site, as numbers without text; in its ledger {numbers}")
    return "\n".join(
        [
            f"# {spec.id}",
            "",
            f"Tells spam from ham in {spec.channel} traffic, for a gateway whose users can release what it holds.",
            "",
            "## The model",
            f"Hashed words and character n-grams, {_shape(config)}, beside a hashed linear path and side features.",
            f"{spec.hashing.max_tokens} tokens a message. Made {spec.created_at} from commit {spec.commit}.",
            "",
            "## Operating points",
            "A probability at or above the threshold acts. The budget is the ham that may be lost on the validation",
            "part, mean of the corpora, each counting with at most 300 ham; no corpus of 100 or",
            f"more ham may lose more than {WORST:.0f} times as much.",
            "",
            "| point | threshold | ham loss budget |",
            "|---|---:|---:|",
            *points,
            "",
            "## Figures",
            "On the test part: the newest messages where a corpus has dates, else near-duplicate clusters or",
            "sources that training never saw. Through the ONNX file, one message at a time.",
            "",
            *lines(rows, "normal"),
            "",
            "## Data",
            "No message is part of the bundle. Trained on:",
            "",
            *sources,
            "",
            "## Limits",
            "- Most of the training spam is older than 2011; what is of today is templates, or written for training.",
            "  On mail or SMS of another decade, language or country the rates do not hold; measure your own.",
            "- Calibrated for as much spam as ham. Domains and senders are mostly masked in training, so that the",
            "  figures rest on content and structure; it knows nothing of the network a message came from.",
            "- Spam in languages other than English is rare in the data.",
            "",
            "## Not for",
            "Refusing mail without a person who can see and release it, judging people, or traffic that is not",
            f"{spec.channel}.",
            "",
        ]
    )


def _shape(config: TrainConfig) -> str:
    model = config.model
    layer = f"{'bidirectional ' if model.bidirectional else ''}{model.cell.upper()} with {model.units} units"
    if model.filters:
        return f"a convolution of {model.filters} filters, max pooling of {model.pool} steps, a {layer}"
    return f"a {layer}"
