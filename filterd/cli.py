"""The command line: puts the commands together, contains no logic."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from filterd import __version__, failpoints
from filterd.commands import (
    account,
    calibrate,
    check,
    config,
    db,
    explain,
    imports,
    model,
    quarantine,
    questions,
    ready,
    report,
    rules,
    serve,
    token,
    undo,
    verdicts,
)
from filterd.errors import ConfigError, FilterdError, TemporaryError, UsageError

EXIT_CODES = ((ConfigError, 78), (UsageError, 2), (TemporaryError, 75))
"""sysexits.h: EX_CONFIG, EX_TEMPFAIL; 2 is what typer says for a wrong option. Everything else is 1."""


def build() -> typer.Typer:
    """The application with every command."""
    app = typer.Typer(
        name="filterd",
        help="A gateway filter for email and SMS that learns from what people report.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback()(_options)
    app.command("serve")(serve.run)
    app.command("ready")(ready.run)
    app.command("check")(check.run)
    app.command("verdicts")(verdicts.run)
    app.command("explain")(explain.run)
    app.command("report")(report.run)
    app.command("undo")(undo.run)
    app.command("events")(undo.events)
    app.command("questions")(questions.run)
    app.command("calibrate")(calibrate.run)
    app.add_typer(imports.app, name="import")
    app.add_typer(quarantine.app, name="quarantine")
    app.add_typer(account.app, name="account")
    app.add_typer(rules.app, name="rules")
    app.add_typer(token.app, name="token")
    app.add_typer(db.app, name="db")
    app.add_typer(config.app, name="config")
    app.add_typer(model.app, name="model")
    return app


def main() -> None:
    """Run the command line; an error of ours is one line and an exit code."""
    failpoints.arm(os.environ)
    try:
        build()()
    except FilterdError as exc:
        sys.stderr.write(f"filterd: {exc.detail}\n")
        sys.exit(exit_code(exc))
    except BrokenPipeError:
        # The reader of our output has seen enough (`filterd ... | head`).
        sys.stderr.close()
        sys.exit(0)


def exit_code(error: FilterdError) -> int:
    """What the process exits with for ``error``."""
    return next((code for kind, code in EXIT_CODES if isinstance(error, kind)), 1)


def _print_version(is_asked: bool) -> None:  # noqa: FBT001  # typer
    if is_asked:
        typer.echo(f"filterd {__version__}")
        raise typer.Exit


def _options(
    _version: Annotated[  # noqa: FBT002  # typer's options are booleans by position
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Options without a command."""


if __name__ == "__main__":
    main()
