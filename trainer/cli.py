"""The ``trainer`` command."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from filterd.core.envelope import Channel
from filterd.errors import FilterdError
from trainer import corpus_cli, stores_cli
from trainer.config import TrainConfig, quick
from trainer.engine_names import EngineName
from trainer.errors import TrainerError
from trainer.recipe import Kind, find

app = typer.Typer(help="Trains and measures the models that filterd serves.", no_args_is_help=True)
app.add_typer(corpus_cli.app, name="corpus")
app.command()(stores_cli.push)
app.command()(stores_cli.pull)

if TYPE_CHECKING:
    from trainer.engines import Engine

_DATA = "FILTERD_DATA"

ChannelOption = Annotated[Channel, typer.Option(help="email or sms")]
DataOption = Annotated[
    Path | None, typer.Option(help=f"Folder of the corpora; default ${_DATA}, else ../shared/data beside the checkout")
]
FastOption = Annotated[bool, typer.Option("--fast", help="A small sample and network, in seconds")]
GoldenOption = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Labelled messages in DIR/ham and DIR/spam; else the package's own")
]
EngineOption = Annotated[EngineName, typer.Option(help="Where the work is done; ray needs the extra of that name")]
WorkersOption = Annotated[int, typer.Option(help="Ray's processes, on this machine or where RAY_ADDRESS says", min=1)]
JobsOption = Annotated[int, typer.Option(help="Processes that read messages", min=1)]


@app.command()
def train(
    channel: Annotated[Channel | None, typer.Option(help="email or sms: the recipe of that name")] = None,
    recipe: Annotated[
        str | None, typer.Option(metavar="NAME", help="What to train: a name in trainer/recipes, or a TOML file")
    ] = None,
    data: DataOption = None,
    out: Annotated[Path, typer.Option(help="Folder that receives the bundle and the run's curves")] = Path("runs"),
    fast: FastOption = False,
    seed: Annotated[int | None, typer.Option(help="Seed of weights and draws")] = None,
    jobs: JobsOption = 2,
    resume: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Keeps a gateway's run after each epoch, and goes on from it")
    ] = None,
    push: Annotated[str | None, typer.Option(metavar="URL", help="Store to push the result to, as `push` does")] = None,
    record: Annotated[
        Path | None, typer.Option(help="Folder that receives a published system's measurement: docs/evaluation")
    ] = None,
) -> None:
    """Train what a recipe says and write its folder, which is printed last: a bundle, or a published system."""
    if (channel is None) == (recipe is None):
        raise typer.BadParameter("give --recipe or --channel, and not both")
    found = find(recipe or str(channel))
    _quiet_tensorflow()
    with _bar() as (progress, say):
        if found.kind is Kind.GATEWAY:
            # Before the import, which takes seconds: a wrong key is told at once.
            config = _adapted(found.into(TrainConfig), fast=fast, seed=seed)
            from trainer.build import build

            folder = build(config, data_folder(data), out, jobs=jobs, progress=progress, say=say, checkpoint=resume)
        else:
            from trainer.published.lines import train as train_published

            outcome = train_published(
                found, data_folder(data), out, is_fast=fast, seed=seed, progress=progress, say=say
            )
            folder = outcome.folder
            if record is not None:
                outcome.record(record)
    if push is not None:
        from trainer.stores import push as push_to

        push_to(folder, push)
    typer.echo(folder)


@app.command()
def evaluate(
    channel: ChannelOption,
    bundle: Annotated[Path | None, typer.Option(help="Folder of the bundle")] = None,
    track: Annotated[str, typer.Option(help="What to measure, with commas between; all is every track")] = "held-out",
    out: Annotated[Path | None, typer.Option(help="Folder that receives TRACK-CHANNEL.json and plots")] = None,
    data: DataOption = None,
    fast: FastOption = False,
    jobs: JobsOption = 2,
    prepared: Annotated[
        str | None, typer.Option(metavar="PARQUET", help="Measure on the test part of what `prepare` wrote instead")
    ] = None,
    engine: EngineOption = EngineName.IN_PROCESS,
    workers: WorkersOption = 2,
) -> None:
    """Measure a bundle by one track, or by all of them, and print what was found."""
    if prepared is not None:
        from trainer.tracks.prepared import measure as measure_prepared

        if bundle is None:
            raise typer.BadParameter("--prepared measures a bundle; give --bundle")
        measured = measure_prepared(find_engine(engine, workers), prepared, bundle, channel)
        if out is not None:
            measured.write(out)
        typer.echo("\n".join(measured.lines()))
        return
    _quiet_tensorflow()
    from trainer.tracks import find, names
    from trainer.tracks.context import Context

    def say(words: str) -> None:
        typer.echo(words, err=True)

    plots = None if out is None else out / "plots"
    context = Context(
        channel=channel, data=data_folder(data), bundle=bundle, plots=plots, jobs=jobs, is_fast=fast, say=say
    )
    for measure in [find(name) for name in (names(channel) if track == "all" else track.split(","))]:
        found = measure(context)
        if out is not None:
            found.write(out)
        typer.echo("\n".join(found.lines()))


@app.command()
def prepare(
    channel: ChannelOption,
    messages: Annotated[str, typer.Option(metavar="PARQUET", help="Labelled messages: a folder or s3://bucket/prefix")],
    out: Annotated[str, typer.Option(metavar="PARQUET", help="Receives them as the model reads them, divided")],
    engine: EngineOption = EngineName.IN_PROCESS,
    workers: WorkersOption = 2,
) -> None:
    """Encode, cluster and divide labelled messages in Parquet, on one machine or many; prints what they were made."""
    from trainer import at_scale, parquet, rows
    from trainer.config import defaults

    found = at_scale.prepare(find_engine(engine, workers), messages, channel, defaults(channel).split)
    parquet.write([found.table], out, rows.PREPARED)
    typer.echo(found.summary())


@app.command()
def document(
    docs: Annotated[Path, typer.Option(help="Folder of evaluation.md and of evaluation/*.json")] = Path("docs"),
) -> None:
    """Write the evaluation page again from the measurements beside it."""
    from trainer.document import write

    typer.echo(write(docs))


@app.command()
def compare(
    bundle: Annotated[Path, typer.Option(help="Folder of the bundle")],
    channel: ChannelOption,
    systems: Annotated[str, typer.Option(help="Names of other filters with commas between; empty is all")] = "",
    limit: Annotated[int, typer.Option(help="Messages per corpus and label that slow filters see", min=1)] = 200,
    raw: Annotated[bool, typer.Option("--raw", help="Keep the headers that the corpora's collectors added")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder that receives compare-CHANNEL.json")] = None,
    data: DataOption = None,
    fast: FastOption = False,
    jobs: JobsOption = 2,
) -> None:
    """Train other filters on the same split and print their figures beside the bundle's."""
    from trainer.compare import compare as measured
    from trainer.tracks.context import Context

    def say(words: str) -> None:
        typer.echo(words, err=True)

    context = Context(channel=channel, data=data_folder(data), bundle=bundle, jobs=jobs, is_fast=fast, say=say)
    names = [name.strip() for name in systems.split(",") if name.strip()]
    found = measured(context, names, os.environ, limit=limit, is_raw=raw)
    typer.echo("\n".join(found.lines()))
    if out is not None:
        found.write(out)


@app.command()
def replay(
    candidate: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of the bundle that would be promoted")],
    since: Annotated[str, typer.Option(help="How far back: 24h, 7d")] = "24h",
    channel: Annotated[Channel | None, typer.Option(help="Else the candidate's")] = None,
    config: Annotated[
        Path | None, typer.Option(help="The gateway's file; else $FILTERD_CONFIG, else /etc/filterd/filterd.toml")
    ] = None,
    is_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of lines")] = False,
    past: Annotated[
        str | None, typer.Option(metavar="PARQUET", help="What `corpus past` wrote, instead of the gateway's store")
    ] = None,
    against: Annotated[
        Path | None, typer.Option(metavar="INCUMBENT", help="The other bundle; else the one the gateway serves")
    ] = None,
    engine: EngineOption = EngineName.IN_PROCESS,
    workers: WorkersOption = 2,
    jobs: JobsOption = 2,
) -> None:
    """Score what a gateway has judged lately with a candidate too, and list the verdicts that would change.

    Label the ones that matter with `filterd report`: the gate asks both bundles about labelled disagreements.
    """
    import json
    from datetime import UTC, datetime

    import msgspec

    from filterd import config as settings
    from filterd.inference.registry import read_spec
    from filterd.model_files import ModelFiles
    from trainer.replay import DEFAULT_POINT
    from trainer.replay import replay as replayed
    from trainer.sources import feedback

    meant = channel or read_spec(candidate).channel
    if past is None and engine is not EngineName.IN_PROCESS:
        raise typer.BadParameter("other engines read Parquet: write it with `trainer corpus past` and give --past")
    if past is None or against is None:
        gateway = settings.load(settings.find(config, os.environ), os.environ).config
        against = against or ModelFiles(gateway).locate()[meant]
    if past is None:
        found = replayed(feedback.past(gateway, meant, datetime.now(UTC) - span(since)), against, candidate, jobs=jobs)
    else:
        from trainer.at_scale import replay as replay_parquet

        found = replay_parquet(find_engine(engine, workers), past, against, candidate, DEFAULT_POINT)
    typer.echo(json.dumps(msgspec.to_builtins(found), indent=1) if is_json else "\n".join(found.lines()))


def find_engine(name: EngineName, workers: int) -> Engine:
    """The engine of that name. Raises ToolMissing."""
    from trainer.engines import find

    return find(name, workers)


def span(text: str) -> timedelta:
    """``24h`` or ``7d``. Raises TrainerError for anything else."""
    unit = {"h": "hours", "d": "days", "m": "minutes"}.get(text[-1:])
    if unit is None or not text[:-1].isdigit():
        raise TrainerError(f"{text!r} is no time span; write 24h, 7d or 90m")
    return timedelta(**{unit: int(text[:-1])})


@app.command()
def retrain(
    channel: Annotated[Channel | None, typer.Option(help="email or sms; both in turn without it")] = None,
    config: Annotated[
        Path | None, typer.Option(help="The gateway's file; else $FILTERD_CONFIG, else /etc/filterd/filterd.toml")
    ] = None,
    golden: GoldenOption = None,
    signing_key: Annotated[
        Path | None, typer.Option(metavar="PEM", help="Signs what is promoted, where models.public_key is set")
    ] = None,
    data: DataOption = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of curves and refused bundles; else retrain in server.state_dir")
    ] = None,
    fast: FastOption = False,
    jobs: JobsOption = 2,
) -> None:
    """Train on corpora and people's labels, and promote what passes the gate: exit 0, 3 if refused, 75 if one runs."""
    from filterd import config as settings
    from trainer.errors import AlreadyRunning

    gateway = settings.load(settings.find(config, os.environ), os.environ).config
    _quiet_tensorflow()
    from trainer.retrain import Order
    from trainer.retrain import retrain as retrained

    outcomes = []
    for each in (channel,) if channel else Channel:
        order = Order(
            channel=each,
            config=gateway,
            data=data_folder(data),
            out=out or Path(gateway.server.state_dir) / "retrain",
            golden=golden if channel or golden is None else golden / each,
            signing_key=signing_key,
            jobs=jobs,
            is_fast=fast,
        )
        try:
            with _bar() as (progress, say):
                outcome = retrained(order, say=say, progress=progress)
        except AlreadyRunning as exc:
            sys.stderr.write(f"trainer: {exc}\n")
            raise typer.Exit(75) from None
        outcomes.append(outcome)
        typer.echo("\n".join([*outcome.result.lines(), "", f"card: {outcome.bundle / 'card.md'}"]))
    raise typer.Exit(0 if all(outcome.is_promoted for outcome in outcomes) else 3)


@app.command()
def gate(
    candidate: Annotated[Path, typer.Argument(metavar="CANDIDATE", help="Folder of the bundle that would be promoted")],
    against: Annotated[Path, typer.Option(metavar="INCUMBENT", help="Folder of the bundle in service")],
    golden: GoldenOption = None,
    is_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of the table")] = False,
    fast: FastOption = False,
) -> None:
    """Measure a candidate beside the incumbent and say whether it may be promoted: exit 0, or 1 where it is refused."""
    import json

    from filterd.inference.registry import read_spec
    from trainer import gate as gates
    from trainer import golden as sets
    from trainer.measure_candidate import FAST_MOST, cases_of, measure

    channel = read_spec(candidate).channel
    frozen = sets.read(channel, golden, FAST_MOST if fast else None)
    measured = measure(candidate, against, cases_of(channel, frozen, is_fast=fast), lambda w: typer.echo(w, err=True))
    result = gates.compare(*measured)
    typer.echo(json.dumps(gates.as_json(result), indent=1) if is_json else "\n".join(result.lines()))
    raise typer.Exit(0 if result.is_promoted else 1)


@app.command()
def predict(
    texts: Annotated[list[str], typer.Argument(metavar="TEXT...", help="Texts, or - for standard input as one text")],
    bundle: Annotated[
        Path | None, typer.Option(help="Folder of a bundle or recipe; else the package's bundle of the channel")
    ] = None,
    channel: Annotated[Channel | None, typer.Option(help="email or sms; the bundle's own, else sms")] = None,
    is_json: Annotated[bool, typer.Option("--json", help="One JSON object per text")] = False,
) -> None:
    """Score texts: probability, label at the operating point `normal`, and the words that moved it most."""
    import json

    from trainer.predict import as_json, as_row
    from trainer.predict import predict as predictions

    raw = [sys.stdin.buffer.read().rstrip(b"\r\n") if text == "-" else os.fsencode(text) for text in texts]
    for each in predictions(raw, bundle, channel):
        typer.echo(json.dumps(as_json(each), ensure_ascii=True) if is_json else as_row(each))


def data_folder(given: Path | None) -> Path:
    """The folder of the corpora: the option, the environment, or the default beside the checkout."""
    if given is not None:
        return given
    named = os.environ.get(_DATA)
    return Path(named) if named else Path(__file__).parents[2] / "shared" / "data"


@contextmanager
def _bar() -> Iterator[tuple[Callable[[int, int, str], None], Callable[[str], None]]]:
    """A progress bar on standard error, as the function that moves it and the one that prints above it."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("training", total=None)

        def progress(done: int, total: int, words: str) -> None:
            bar.update(task, completed=done, total=total, description=words)

        yield progress, console.print


def _adapted(config: TrainConfig, *, fast: bool, seed: int | None) -> TrainConfig:
    config = config if seed is None else replace(config, seed=seed)
    return quick(config) if fast else config


def _quiet_tensorflow() -> None:
    """Keep TensorFlow from logging its start and from looking for a GPU; must come before its import."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")


def main() -> None:
    """Entry point: one line on stderr and exit 1 for an error of ours."""
    try:
        app()
    except (TrainerError, FilterdError) as exc:
        sys.stderr.write(f"trainer: {exc}\n")
        sys.exit(1)
