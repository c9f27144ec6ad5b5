"""Templates to pages. Everything is escaped; the headers let a page load nothing that is not ours."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup
from starlette.responses import HTMLResponse

from filterd import __version__
from filterd.core.shown import shown_line, shown_text
from filterd.web.catalogue import LANGUAGES, Texts
from filterd.web.shape import shape_of

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "frame-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS: Mapping[str, str] = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-store",
}
_LINE_CHARS = 500
_FOLDER = Path(__file__).parent / "templates"


class Renderer:
    """Fills templates."""

    def page(
        self, template: str, texts: Texts, status: int = 200, *, zone: tzinfo = UTC, **values: Any
    ) -> HTMLResponse:
        """The response of a template; ``t`` in it are the texts, and times are those of ``zone``."""
        return HTMLResponse(self.text(template, texts, zone=zone, **values), status, headers=dict(HEADERS))

    def text(self, template: str, texts: Texts, **values: Any) -> str:
        """A template filled."""
        return _environment().get_template(template).render(t=texts, **values)


@cache
def _environment() -> Environment:
    """One for all renderers of this process: a template is compiled once."""
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.globals |= {"version": __version__, "languages": LANGUAGES}
    environment.filters |= {"moment": _moment, "percent": _percent, "size": _size, "shown": shown_text}
    environment.filters |= {"line": _line, "when": _when, "day": _day, "written": _written, "named": _named}
    return environment


def _line(value: str) -> str:
    """Text from strangers on one line: whoever writes a subject cannot begin another line with it."""
    return shown_line(value, _LINE_CHARS)


def _moment(value: datetime | None) -> str:
    return "" if value is None else f"{value:%Y-%m-%d %H:%M}"


@pass_context
def _when(context: Context, value: datetime) -> Markup:
    """A time in the zone of the page, for people and programs."""
    return _time(value, _moment(value.astimezone(context["zone"])))


@pass_context
def _written(context: Context, text: str) -> str:
    """A time that a file tells (ISO 8601), in the zone of the page; as it stands there where it is none."""
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        return shown_line(text, _LINE_CHARS)
    return _when(context, value if value.tzinfo else value.replace(tzinfo=UTC))


@pass_context
def _named(context: Context, token: str) -> str:
    """A word of the evidence as people say it."""
    shape, texts = shape_of(token), context["t"]
    return shown_text(token) if shape is None else texts(f"shape.{shape.name}", of=shown_line(shape.of, _LINE_CHARS))


@pass_context
def _day(context: Context, value: datetime) -> Markup:
    """The day of a time in the zone of the page, for people and programs."""
    return _time(value, f"{value.astimezone(context['zone']):%Y-%m-%d}")


def _time(value: datetime, told: str) -> Markup:
    return Markup('<time datetime="{}">{}</time>').format(value.isoformat(), told)


def _percent(value: float | None, digits: int = 1) -> str:
    return "" if value is None else f"{100 * value:.{digits}f} %"


def _size(value: int) -> str:
    """Bytes for people, in units of 1,000 (IEC 80000-13)."""
    amount = float(value)
    for unit in ("B", "kB", "MB"):
        if amount < 1_000:
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 10 else f"{amount:.1f} {unit}"
        amount /= 1_000
    return f"{amount:.1f} GB"
