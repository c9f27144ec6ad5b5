"""The page, and the measurement, that set what a publication reports beside what was measured here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trainer.measurement import Measurement, Table
from trainer.published.config import SequenceConfig

PREFIX = "recipe-"
"""Of the name of a recipe's measurement."""

Report = Mapping[str, Any]


def tables(report: Report) -> tuple[Table, ...]:
    """Accuracy beside the published one, every figure by both protocols, and what the run itself was."""
    made = [_accuracies(report), _figures(report), _run(report)]
    if report["leak"]:
        made.insert(2, _leak(report))
    return tuple(made)


def _accuracies(report: Report) -> Table:
    rows = [
        (
            each["part"],
            "-" if each["published"] is None else f"{each['published']:g} %",
            _percent(each["accuracy"]),
            f"{100 * each['accuracy_interval'][0]:.2f} to {100 * each['accuracy_interval'][1]:.2f} %",
            str(each["rows"]),
        )
        for each in report["parts"]
    ]
    head = ("accuracy on", "published", "measured", "95 % interval", "rows")
    return Table(columns=head, rows=tuple(rows), title="Published figures beside ours.")


def _figures(report: Report) -> Table:
    negative, positive = report["classes"]
    rows = [
        (
            each["part"],
            f"{_percent(each['ham_loss'])} ({each['ham_lost']} of {each['ham']})",
            f"{_percent(each['spam_catch'])} ({each['spam_caught']} of {each['spam']})",
            f"{each['one_minus_roca_percent']:.3f}",
            f"{each['mcc']:.3f}",
        )
        for each in report["parts"]
    ]
    head = ("part", f"{negative} taken for {positive}", f"{positive} caught", "1-ROCA %", "MCC")
    return Table(columns=head, rows=tuple(rows), title=f"At probability {report['threshold']}, through the ONNX file.")


def _leak(report: Report) -> Table:
    rows = [
        (
            group,
            str(each["rows"]),
            f"{each['seen']} ({_percent(each['seen'] / each['rows'])})",
            _percent(each["accuracy_seen"]),
            _percent(each["accuracy_unseen"]),
        )
        for group, each in report["leak"].items()
    ]
    return Table(
        columns=("test rows from", "rows", "word for word in training", "accuracy on those", "on the others"),
        rows=tuple(rows),
        title="The random split of the publication, and what of its test the network had been shown.",
    )


def _run(report: Report) -> Table:
    nodes = ", ".join(
        f"{count} {name}" for name, count in report["operators"].items() if name in {"LSTM", "GRU", "RNN"}
    )
    rows = [
        ("training rows, epochs", f"{report['train_rows']}, {report['epochs']}"),
        ("CPU seconds of training", f"{report['train_seconds']:.0f}"),
        ("vocabulary", str(report["vocabulary"])),
        ("ONNX nodes, of which recurrent", f"{sum(report['operators'].values())}, {nodes}"),
        ("Loop, Scan or If nodes", "0"),
        ("largest difference of ONNX to Keras", f"{report['parity']:.1e}"),
    ]
    if report["padding_difference"] is not None:
        rows.append(("the same text alone and beside a longer one", f"{report['padding_difference']:.1e} on the logit"))
    if report["new_text"]:
        rows.append((f"P({report['classes'][1]}) of a new sentence", f"{report['new_probability']:.4f}"))
    return Table(columns=("run", "value"), rows=tuple(rows))


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f} %"


def render(config: SequenceConfig, report: Report) -> str:
    """``card.md``."""
    lines = [
        f"# {config.title}",
        "",
        f"`{report['id']}`, made {report['created_at']} from commit {report['commit']}, seed {report['seed']}.",
        "",
        *_paragraphs(config, report),
    ]
    for table in tables(report):
        lines += [*table.lines(), ""]
    lines += ["![Loss and accuracy by epoch](curves.png)", ""]
    if report["new_text"]:
        lines += [f"New sentence: {report['new_text']}", ""]
    lines += [
        "## Not for",
        "Filtering anybody's messages. It reproduces a publication; the daemon refuses this folder, which holds no",
        "bundle.json.",
        "",
    ]
    return "\n".join(lines)


def _paragraphs(config: SequenceConfig, report: Report) -> Sequence[str]:
    return [line for paragraph in paragraphs(config, report) for line in (paragraph, "")]


def paragraphs(config: SequenceConfig, report: Report) -> tuple[str, ...]:
    """What was done, and what the figures do not say."""
    protocol = config.protocol
    if protocol.test_share:
        own = (
            f"Published protocol: {100 * protocol.test_share:.0f} % of the rows drawn at random for the test, repeats "
        )
        own += "and all. Held-out clusters: near-duplicates lie on one side, each cluster counts once, and the network "
        own += "is trained again on the other side."
    else:
        own = "Published protocol: the corpus's own test part. Held out: that part without the near-duplicates of "
        own += "training texts; the network is the same."
    curves = "The curves' validation is the test part, from which nothing is chosen; figures are of the last epoch."
    quick = ("A quick run on a sample with a small network: the figures mean nothing.",) if report["is_fast"] else ()
    return tuple(each for each in (*quick, protocol.source, own, curves, *protocol.notes) if each)


def measurement(name: str, config: SequenceConfig, report: Report) -> Measurement:
    """What ``docs/evaluation.md`` shows of the run; no text of the corpus."""
    kept = ("parts", "leak", "parity", "operators", "train_seconds", "epochs", "history", "padding_difference")
    return Measurement(
        id=f"{PREFIX}{name}",
        title=f"Recipe `{name}`: {config.title}",
        command=f"trainer train --recipe {name}",
        tables=tables(report),
        text=(*paragraphs(config, report), f"![Loss and accuracy by epoch](evaluation/curves/{name}.png)"),
        figures={key: report[key] for key in kept},
        seeds=(report["seed"],),
        created_at=report["created_at"],
        commit=report["commit"],
    )
