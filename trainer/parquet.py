"""Messages as Parquet, in a folder or an S3-compatible store, cut into parts that can be worked on anywhere.

A location is a file, a folder or ``s3://bucket/prefix``; a part is one row group of one file, parts are in the order of
the files' names. Endpoint, region and credentials come from the usual AWS_* variables. Source: Apache Parquet format 2,
as pyarrow reads and writes it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from trainer.errors import CorpusError, StoreError, ToolMissing

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from pyarrow import fs
except ModuleNotFoundError as exc:
    raise ToolMissing(f"{exc.name} is not installed; install filterd[parquet] to read and write Parquet") from exc

GROUP_ROWS = 5_000
"""Rows in a group: seconds of work, a few megabytes."""
FILE_ROWS = 100_000
_S3 = "s3://"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Rows that are read together."""

    path: str
    """Of the file: below /, or ``s3://``."""
    group: int
    """Number of the row group."""
    first: int
    """Number of its first row among all rows of the location."""
    rows: int


def parts_of(location: str) -> tuple[Part, ...]:
    """The parts of every file at ``location``. Raises CorpusError where there is none, StoreError."""
    found, first = [], 0
    for path in files_of(location):
        metadata = _opened(path).metadata
        for group in range(metadata.num_row_groups):
            rows = metadata.row_group(group).num_rows
            found.append(Part(path=path, group=group, first=first, rows=rows))
            first += rows
    return tuple(found)


def files_of(location: str) -> tuple[str, ...]:
    """The Parquet files at ``location``, by name. Raises CorpusError where there is none, StoreError."""
    store, path = _store(location)
    prefix = _S3 if location.startswith(_S3) else ""
    try:
        info = store.get_file_info(path)
        if info.is_file:
            return (location,)
        found = store.get_file_info(fs.FileSelector(path, recursive=True, allow_not_found=True))
    except OSError as exc:
        raise StoreError(f"{location}: {exc}; check the location and, for s3://, the AWS_* variables") from exc
    paths = sorted(prefix + each.path for each in found if each.is_file and each.path.endswith(".parquet"))
    if not paths:
        raise CorpusError(f"{location}: holds no Parquet file")
    return tuple(paths)


def schema_of(location: str) -> pa.Schema:
    """The columns of the first file at ``location``. Raises CorpusError where there is none, StoreError."""
    return _opened(files_of(location)[0]).schema_arrow


def read(part: Part, columns: Sequence[str]) -> pa.Table:
    """These columns of a part. Raises CorpusError where one is missing, StoreError."""
    file = _opened(part.path)
    missing = [name for name in columns if name not in file.schema_arrow.names]
    if missing:
        raise CorpusError(f"{part.path}: has no column {missing[0]}; it has {', '.join(file.schema_arrow.names)}")
    return file.read_row_group(part.group, columns=list(columns))


def write(tables: Iterable[pa.Table], location: str, schema: pa.Schema) -> int:
    """Write rows to new files below ``location``; how many. Raises CorpusError where files are there, StoreError."""
    store, path = _store(location)
    count = 0
    try:
        if store.get_file_info(fs.FileSelector(path, allow_not_found=True)):
            raise CorpusError(f"{location}: is not empty; name a new folder")
        if not location.startswith(_S3):
            store.create_dir(path)
        for number, table in enumerate(_regrouped(tables, schema)):
            with store.open_output_stream(f"{path}/part-{number:05d}.parquet") as out:
                pq.write_table(table, out, row_group_size=GROUP_ROWS, compression="zstd")
            count += len(table)
    except OSError as exc:
        raise StoreError(f"{location}: {exc}; check the location and, for s3://, the AWS_* variables") from exc
    return count


def _regrouped(tables: Iterable[pa.Table], schema: pa.Schema) -> Iterator[pa.Table]:
    """The same rows in tables for one file each; at least one table, so that there is a file."""
    waiting: list[pa.Table] = []
    rows, is_first = 0, True
    for table in tables:
        waiting.append(table.select(schema.names).cast(schema))
        rows += len(table)
        if rows >= FILE_ROWS:
            yield pa.concat_tables(waiting)
            waiting, rows, is_first = [], 0, False
    if waiting or is_first:
        yield pa.concat_tables(waiting) if waiting else schema.empty_table()


def _opened(path: str) -> Any:
    store, inside = _store(path)
    try:
        return pq.ParquetFile(store.open_input_file(inside))
    except (OSError, pa.ArrowInvalid) as exc:
        raise StoreError(f"{path}: cannot be read as Parquet ({exc})") from exc


def _store(location: str) -> tuple[Any, str]:
    """The file system and the path in it."""
    if not location.startswith(_S3):
        return fs.LocalFileSystem(), os.path.abspath(location)  # noqa: PTH100  (it may be a folder that is not there)
    options: dict[str, Any] = {}
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if endpoint:
        scheme, _, host = endpoint.rpartition("://")
        options = {"endpoint_override": host, "scheme": scheme or "https"}
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    try:
        return fs.S3FileSystem(region=region, **options), location.removeprefix(_S3).rstrip("/")
    except OSError as exc:
        raise StoreError(f"{location}: {exc}") from exc
