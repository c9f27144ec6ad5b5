"""A scanner that goes as far as what the model reads."""

from tests.bench.stages import features_and_tokens, run

if __name__ == "__main__":
    run(features_and_tokens())
