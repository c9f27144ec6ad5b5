"""``filterd config``: what is configured, where it comes from, and whether it works."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from filterd.config import Loaded

app = typer.Typer(help="Show and check the configuration.", no_args_is_help=True)

ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="TOML file; else FILTERD_CONFIG, else /etc/filterd/filterd.toml.")
]


@app.command()
def show(config: ConfigOption = None) -> None:
    """Print every effective setting, secrets masked, and where it comes from."""
    import json

    from filterd.config import effective

    for key, value, origin in effective(_load(config)):
        typer.echo(f"{key} = {json.dumps(value)}  # {origin}")


@app.command()
def check(config: ConfigOption = None) -> None:
    """Say whether the daemon could start with this configuration; exit 78 and one line if not."""
    from filterd import parent

    loaded = _load(config)
    parent.check(loaded.config)
    typer.echo(f"{loaded.path or 'defaults'}: ok")


@app.command()
def defaults() -> None:
    """Print a configuration file with every setting, its meaning and its default."""
    from filterd.reference import defaults_toml

    typer.echo(defaults_toml(), nl=False)


def _load(option: Path | None) -> Loaded:
    import os

    from filterd import config as configuration

    return configuration.load(configuration.find(option, os.environ), os.environ)
