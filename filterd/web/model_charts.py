"""What a bundle's report looks like."""

from __future__ import annotations

from markupsafe import Markup

from filterd.core.bundle_report import BundleReport
from filterd.web.catalogue import Texts
from filterd.web.charts import Chart, Series, lined, ranked

POINT = "normal"
"""The operating point that is drawn; the table has all of them."""
Drawn = tuple[Chart, Markup]


def caught(report: BundleReport, texts: Texts) -> Drawn:
    """Spam catch on each corpus that has spam."""
    shares = {each.corpus: each.spam_catch(POINT) for each in report.corpora if each.spam}
    return _ranks(texts("model.caught", point=POINT), texts("model.corpus"), shares, "quarantine")


def lost(report: BundleReport, texts: Texts) -> Drawn:
    """Ham loss on each corpus that has ham."""
    shares = {each.corpus: each.ham_loss(POINT) for each in report.corpora if each.ham}
    return _ranks(texts("model.lost", point=POINT), texts("model.corpus"), shares, "tag")


def _ranks(title: str, axis: str, shares: dict[str, float | None], shade: str) -> Drawn:
    series = Series(name=title, shade=shade, values=tuple(shares.values()))
    chart = Chart(title=title, axis=axis, labels=tuple(shares), series=(series,), is_share=True)
    return chart, ranked(chart)


def learned(report: BundleReport, texts: Texts) -> Drawn | None:
    """Loss in training and validation after each epoch; None where the report has none."""
    history = report.history
    epochs = len(history.get("loss", ()))
    if not epochs or len(history.get("validation_loss", ())) != epochs:
        return None
    series = (
        Series(name=texts("model.training"), shade="accept", values=history["loss"]),
        Series(name=texts("model.validation"), shade="quarantine", values=history["validation_loss"]),
    )
    labels = tuple(str(epoch + 1) for epoch in range(epochs))
    chart = Chart(title=texts("model.learned"), axis=texts("model.epoch"), labels=labels, series=series)
    return chart, lined(chart)
