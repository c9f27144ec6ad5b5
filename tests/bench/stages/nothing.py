"""A scanner that reads a message and says something of it at once: what the way there and back costs."""

from tests.bench.stages import run

if __name__ == "__main__":
    run(lambda raw: None)
