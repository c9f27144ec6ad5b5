"""``trainer push`` and ``trainer pull``: bundles between machines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def push(
    folder: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder of a bundle or recipe")],
    url: Annotated[str, typer.Argument(metavar="URL", help="A folder, file:///folder or s3://bucket/prefix")],
) -> None:
    """Store a bundle where other machines can pull it; prints the name it has there."""
    from trainer import stores

    stored = stores.push(folder, url)
    typer.echo(f"{stored.group}/{stored.id}")


def pull(
    url: Annotated[str, typer.Argument(metavar="URL", help="A folder, file:///folder or s3://bucket/prefix")],
    into: Annotated[Path, typer.Option(help="Folder that receives the bundle's folder")],
    id: Annotated[
        str, typer.Argument(metavar="ID", help="Id, or latest; with group/ in front where needed")
    ] = "latest",
) -> None:
    """Fetch a bundle with every checksum verified; prints its folder."""
    from trainer import stores

    typer.echo(stores.pull(url, id, into))
