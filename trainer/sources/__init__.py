"""One file per corpus: read(path) -> Iterator[Example]."""
