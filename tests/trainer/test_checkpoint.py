"""A run that was interrupted goes on where it stopped, and only with the configuration it began with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from filterd.core.envelope import Channel
from trainer.checkpoint import History, Run, keep, resumed
from trainer.config import defaults
from trainer.errors import TrainerError


class Variable:
    """What a TensorFlow variable can do, as far as a checkpoint needs it."""

    def __init__(self, value: float) -> None:
        self.value = np.array([value])

    def numpy(self):
        return self.value

    def assign(self, value):
        self.value = value


def fresh(epoch: int = 0) -> Run:
    return Run(
        config=defaults(Channel.SMS),
        history=History(loss=[0.5] * epoch),
        best=0.25,
        best_weights=[np.full(3, float(epoch))],
        best_epoch=0,
        epoch=epoch,
    )


def test_resumed_when_nothing_is_kept_then_the_run_is_fresh(tmp_path):
    begun = fresh()

    assert resumed(begun, [Variable(1)], tmp_path / "absent.npz") is begun


def test_resumed_when_a_run_is_kept_then_its_values_and_history_are_back(tmp_path):
    path = tmp_path / "run.npz"
    keep(fresh(2), [Variable(7), Variable(8)], path)
    variables = [Variable(0), Variable(0)]

    run = resumed(fresh(), variables, path)

    assert (run.epoch, run.best, run.history.loss) == (2, 0.25, [0.5, 0.5])
    assert [float(each.value[0]) for each in variables] == [7, 8]
    assert run.best_weights[0].tolist() == [2, 2, 2]
    assert [each.name for each in tmp_path.iterdir()] == ["run.npz"]


def test_resumed_when_the_configuration_is_another_then_it_is_refused(tmp_path):
    path = tmp_path / "run.npz"
    keep(fresh(1), [Variable(7)], path)
    other = fresh()
    other.config = replace(other.config, seed=99)

    with pytest.raises(TrainerError, match=r"run\.npz is of a run with another configuration"):
        resumed(other, [Variable(0)], path)


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 half of it", b"not a run"])
def test_resumed_when_the_file_is_damaged_then_it_is_named(tmp_path, damage):
    path = tmp_path / "run.npz"
    path.write_bytes(damage)

    with pytest.raises(TrainerError, match=r"run\.npz cannot be read"):
        resumed(fresh(), [Variable(0)], path)
