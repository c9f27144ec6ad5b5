"""The page at ``/``: what listens here and where to read on. It tells a stranger nothing about any message."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

from filterd import __version__

HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}

PAGE = f"""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>filterd</title>
<style>
  :root {{ color-scheme: light dark }}
  body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 42rem; margin: 3rem auto; padding: 0 1rem }}
  code {{ font-size: .95em }}
  dt {{ font-weight: 600 }}
  dd {{ margin: 0 0 1rem }}
</style>
</head>
<body>
<main>
<h1>filterd {__version__}</h1>
<p>This gateway filters email and SMS. It is running.</p>
<dl>
<dt>API</dt>
<dd><code>/api/v1/</code>, described by <a href="/api/v1/openapi.json">/api/v1/openapi.json</a>.
Make a token with <code>filterd token create</code>.</dd>
<dt>Webhooks</dt>
<dd><code>POST /webhooks/PROVIDER</code>, for the providers that are configured.</dd>
<dt>Quarantine and verdicts</dt>
<dd><code>filterd quarantine list</code> and <code>filterd verdicts</code> on the machine,
or the API from anywhere.</dd>
<dt>Metrics and health</dt>
<dd>On the admin port: <code>/metrics</code>, <code>/healthz</code>, <code>/readyz</code>.</dd>
</dl>
</main>
</body>
</html>
"""


async def home(_request: Request) -> HTMLResponse:
    """The page."""
    return HTMLResponse(PAGE, headers=HEADERS)


def home_routes() -> list[Route]:
    """Where the page is."""
    return [Route("/", home, methods=["GET"])]
