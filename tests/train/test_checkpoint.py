import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from itersep.system.errors import UserError
from itersep.train.checkpoint import load_checkpoint, load_model, save_checkpoint
from itersep.train.config import Experiment, check_same_experiment, fingerprint

Build = Callable[..., Experiment]

DATA = {"data": "0"}


class Bomb:
    """Pickled, it would make a file when it is read."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return Path.touch, (self.target,)


def test_a_model_comes_back_as_it_was(experiment: Build, tmp_path: Path) -> None:
    built = experiment()
    save_checkpoint(tmp_path / "exp/best.pt", {"config": built.config, "model": built.model.state_dict()})
    mix = torch.randn(1, 500)
    for path in (tmp_path / "exp", tmp_path / "exp/best.pt"):
        model, config = load_model(path)
        assert torch.equal(model(mix), built.model.eval()(mix)) and config == built.config


def test_no_code_of_a_checkpoint_runs(tmp_path: Path) -> None:
    target = tmp_path / "made"
    for name, write in (("torch.pt", torch.save), ("pickle.pt", lambda o, p: p.write_bytes(pickle.dumps(o)))):
        write({"config": {}, "model": Bomb(target)}, tmp_path / name)
        with pytest.raises(UserError, match=name):
            load_checkpoint(tmp_path / name)
    assert not target.exists()


def test_broken_and_foreign_checkpoints_are_named(experiment: Build, tmp_path: Path) -> None:
    built = experiment()
    whole = tmp_path / "whole.pt"
    save_checkpoint(whole, {"config": built.config, "model": built.model.state_dict()})
    data = whole.read_bytes()
    broken = {"empty": b"", "text": b"hello", "half": data[: len(data) // 2], "short": data[:-10]}
    for name, content in broken.items():
        (tmp_path / name).write_bytes(content)
    torch.save([1, 2], tmp_path / "foreign")
    torch.save({"config": {"model": {"nonsense": 1}}, "model": {}}, tmp_path / "other-version")
    torch.save({"config": built.config, "model": {"w": torch.zeros(1)}}, tmp_path / "other-weights")
    for name in (*broken, "foreign", "other-version", "other-weights", "missing"):
        with pytest.raises(UserError, match=name) as caught:
            load_model(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_a_failed_write_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "last.pt"
    save_checkpoint(path, {"config": {}, "model": {"w": torch.ones(3)}})
    before = path.read_bytes()

    write = Path.write_bytes

    def fail(target: Path, data: bytes) -> None:
        write(target, data[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OSError, match="last.pt"):
        save_checkpoint(path, {"config": {}, "model": {}})
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        *(("train.seed", 1), ("train.batch_size", 5), ("train.average_best", 2), ("train.one_pass_epochs", 1)),
        *(("train.draw_iterations", True), ("objective.order", "common")),
        *(("optimizer.lr", 0.1), ("data.epoch_size", 9)),
    ],
)
def test_what_is_trained_may_not_change(experiment: Build, setting: str, value: float) -> None:
    with pytest.raises(UserError, match=f"last.pt: was trained with {setting} = .*, not {value}"):
        check_same_experiment(experiment().config, experiment(f"--{setting}={value}").config, "last.pt")


def test_where_and_for_how_long_it_is_trained_may_change(experiment: Build) -> None:
    options = ("epochs=9", "patience=3", "save_every_s=1", "device=auto", "threads=2", "workers=3", "accumulate=2")
    one = experiment()
    moved = ("--data.train=/scratch/train", "--data.noise=/scratch/noise", "--data.dev=/scratch/dev")
    other = experiment(*(f"--train.{option}" for option in options), "--model.dprnn.recompute=true", *moved)
    check_same_experiment(one.config, other.config, "last.pt")
    assert fingerprint(one.model, one.config, DATA) == fingerprint(other.model, other.config, DATA)


def test_weights_settings_and_data_have_a_fingerprint(experiment: Build) -> None:
    one, faster, other = experiment(), experiment("--optimizer.lr=0.1"), experiment("--train.seed=1")
    triples = [(one, one, DATA), (one, faster, DATA), (one, other, DATA), (other, one, DATA), (one, one, {"data": "1"})]
    assert len({fingerprint(weights.model, settings.config, data) for weights, settings, data in triples}) == 5
