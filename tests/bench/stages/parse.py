"""A scanner that parses."""

from tests.bench.stages import parse, run

if __name__ == "__main__":
    run(parse)
