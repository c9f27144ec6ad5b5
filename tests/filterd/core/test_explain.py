import numpy as np

from filterd.core.explain import MAX_EVIDENCE, explain

WEIGHTS = np.array([0.0, 2.0, -3.0, 0.001, *np.linspace(0.1, 1.0, 20)], dtype=np.float32)


def _ids(*ids: int) -> np.ndarray:
    return np.array(ids, dtype=np.int32)


def test_explain_gives_the_heaviest_words_first() -> None:
    found = explain(("win", "agenda", "the"), _ids(1, 2, 3), WEIGHTS)

    assert [(e.token, e.weight) for e in found] == [("agenda", -3.0), ("win", 2.0)]


def test_explain_when_a_word_repeats_names_it_once() -> None:
    assert len(explain(("win", "win"), _ids(1, 1), WEIGHTS)) == 1


def test_explain_when_a_word_is_a_mark_leaves_it_out() -> None:
    assert explain(("<body>",), _ids(1), WEIGHTS) == ()


def test_explain_when_words_are_many_stops() -> None:
    ids = _ids(*range(4, 24))

    assert len(explain([f"w{i}" for i in ids], ids, WEIGHTS)) == MAX_EVIDENCE
