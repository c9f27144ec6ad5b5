import numpy as np

from filterd.core.explain import MAX_EVIDENCE, explain


def _each(*weights: float) -> np.ndarray:
    return np.array(weights, dtype=np.float32)


def test_explain_gives_the_heaviest_words_first() -> None:
    found = explain(("win", "agenda", "the"), _each(1.5, -3.0, 0.001), _each(0.5, 0.0, 0.0))

    assert [(e.token, e.weight) for e in found] == [("agenda", -3.0), ("win", 2.0)]


def test_explain_when_a_word_repeats_then_it_is_named_once_with_what_every_place_adds() -> None:
    found = explain(("win", "win"), _each(2.0, 2.0), _each(0.25, 0.5))

    assert [(e.token, e.weight) for e in found] == [("win", 2.75)]


def test_explain_when_a_word_is_a_mark_leaves_it_out() -> None:
    assert explain(("<body>",), _each(1.0), _each(1.0)) == ()


def test_explain_when_words_are_many_stops() -> None:
    weights = np.linspace(0.1, 1.0, 20, dtype=np.float32)

    assert len(explain([f"w{i}" for i in range(20)], weights, np.zeros_like(weights))) == MAX_EVIDENCE
