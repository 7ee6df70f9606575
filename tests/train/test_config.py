from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
import yaml

from itersep.models.filterbank import FilterbankSpec
from itersep.system.cli import parse
from itersep.system.errors import UserError
from itersep.train.config import (
    Experiment,
    OptimizerSpec,
    TrainSpec,
    build_experiment,
    config_parser,
    plain_config,
    rebuild_experiment,
)

Build = Callable[..., Experiment]


def test_defaults_are_the_papers(tmp_path: Path) -> None:
    parser = config_parser()
    tree = yaml.safe_load(parser.dump(parser.parse_args([])))
    assert tree["model"]["filterbank"] == asdict(FilterbankSpec("learned", 128, 32, 16, "magnitude"))
    assert tree["model"]["separator"] == {"simo_blocks": 1, "siso_blocks": 2}
    assert {"features": 64, "hidden": 128, "chunk": 100}.items() <= tree["model"]["dprnn"].items()
    optimizer = tree["optimizer"]
    assert [optimizer[name] for name in ("lr", "decay", "decay_epochs", "clip_norm")] == [1e-3, 0.98, 2, 5]
    assert (tree["train"]["epochs"], tree["train"]["patience"], tree["data"]["epoch_size"]) == (100, 10, 20000)


def test_later_files_and_options_override_and_the_rest_stays(experiment: Build, tmp_path: Path) -> None:
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text("model: {separator: {siso_blocks: 3}}\ntrain: {epochs: 7, seed: 4}\n")
    built = experiment("--config", str(overlay), "--train.seed=5")
    assert built.config["model"]["separator"] == {"simo_blocks": 1, "siso_blocks": 3}
    assert built.config["model"]["dprnn"] | {"features": 8} == built.config["model"]["dprnn"]
    assert (built.train.epochs, built.train.seed, built.train.batch_size) == (7, 5, 2)
    assert len(built.model.siso.blocks) == 3


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("model: {separator: {siso_block: 3}}", "model.*separator.siso_block"),
        ("modle: {iterations: 2}", "modle"),
        ("train: {epochs: many}", "train.epochs.*many"),
        ("train: {epochs: 0}", "train.epochs"),
        ("train: {precision: fp8}", "train.precision.*fp8"),
        ("optimizer: {lr: -1.0}", "optimizer.lr"),
        ("model: {iterations: 0}", "model.iterations"),
        ("model: {filterbank: {hop: 40}}", "filterbank.hop"),
        ("data: {simulation: {t60_s: [-1, 2]}}", "t60_s"),
        ("data: {simulation: {sources: 3}}", "data.simulation.sources' is not a setting; is it 'model.sources'?"),
        ("train: [", "."),
    ],
)
def test_mistakes_are_one_line_that_names_the_key(experiment: Build, tmp_path: Path, text: str, named: str) -> None:
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text(text)
    parser = config_parser()
    with pytest.raises(UserError, match=named) as caught:
        build_experiment(parser, parse(parser, ["--config", str(overlay)]))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("option", "meant"),
    [
        ("--lr=0.1", "; is it --optimizer.lr?"),
        ("--train.lr=0.1", "; is it --optimizer.lr?"),
        ("--siso_block=3", "; is it --model.separator.siso_blocks?"),
        ("--sources=3", "; is it --model.sources?"),
        ("--data.simulation.source=3", "; is it --model.sources?"),
        ("--modle=more.yaml", "; is it --model?"),
        ("--helo=1", "--helo=1"),
    ],
)
def test_an_unknown_option_is_sought_in_all_groups(option: str, meant: str) -> None:
    with pytest.raises(UserError) as caught:
        parse(config_parser(), [option])
    assert str(caught.value).endswith(meant)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("train: {lr: 0.1}", "'train.lr' is not a setting; is it 'optimizer.lr'?"),
        ("model: {siso_blocks: 3}", "'model.siso_blocks' is not a setting; is it 'model.separator.siso_blocks'?"),
        ("model: {simulation: {length_s: 3}}", "'model.simulation' is not a setting; is it 'data.simulation'?"),
        ("modle: {iterations: 3}", "'modle' is not a setting; is it 'model'?"),
        ("data: {simulaton: room.yaml}", "'data.simulaton' is not a setting; is it 'data.simulation'?"),
        ("3: 4", "'3' is not a setting"),
    ],
)
def test_an_unknown_setting_is_sought_in_all_groups(tmp_path: Path, text: str, meant: str) -> None:
    (tmp_path / "overlay.yaml").write_text(text)
    with pytest.raises(UserError) as caught:
        parse(config_parser(), ["--config", str(tmp_path / "overlay.yaml")])
    assert str(caught.value) == f"{tmp_path}/overlay.yaml: {meant}"


def test_a_stored_configuration_builds_the_same_experiment(experiment: Build) -> None:
    built = experiment("--model.share_simo=false", "--objective.oracle_bias=true")
    again = rebuild_experiment(yaml.safe_load(yaml.safe_dump(built.config)), "here")
    assert again.config == built.config
    assert (again.objective, again.data, again.optimizer, again.train) == (
        *(built.objective, built.data, built.optimizer, built.train),
    )
    for (name, value), (other_name, other) in zip(
        built.model.state_dict().items(), again.model.state_dict().items(), strict=True
    ):
        assert name == other_name and torch.equal(value, other)


LEARNED = ("--model.filterbank.filters=128", "--model.filterbank.window=32", "--model.filterbank.hop=16")
SENSELESS = {
    "no epoch for later iterations": (
        ("--train.epochs=3", "--train.one_pass_epochs=3"),
        "train.one_pass_epochs is 3 .* give more epochs",
    ),
    "no layers to score": (
        ("--objective.layerwise=true", "--model.separator.siso_blocks=0"),
        "objective.layerwise scores every SISO block, but model.separator.siso_blocks is 0",
    ),
    "an STFT of the learned sizes": (
        ("--model.filterbank.kind=stft", *LEARNED),
        "model.filterbank.kind is stft, but window and hop .32, 16. .* set filters, window and hop",
    ),
}


@pytest.mark.parametrize("name", SENSELESS)
def test_a_training_that_would_not_do_what_it_says_is_refused(experiment: Build, name: str) -> None:
    options, said = SENSELESS[name]
    with pytest.raises(UserError, match=said) as caught:
        experiment(*options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", SENSELESS)
def test_the_model_of_such_a_training_is_still_read(config: Path, name: str) -> None:
    parser, (options, _) = config_parser(), SENSELESS[name]
    stored = plain_config(parser, parse(parser, ["--config", str(config), *options]))
    assert rebuild_experiment(stored, "here").config == stored


def test_one_pass_may_be_all_epochs_where_there_is_no_later_iteration(experiment: Build) -> None:
    assert experiment("--train.epochs=3", "--train.one_pass_epochs=3", "--model.iterations=1").model.iterations == 1


def test_initial_weights_follow_from_the_seed(experiment: Build) -> None:
    first, same, other = (experiment(f"--train.seed={seed}").model.head.linear.weight for seed in (1, 1, 2))
    assert torch.equal(first, same) and not torch.equal(first, other)


def test_impossible_values_are_refused_by_name() -> None:
    for spec, name, value in (
        *((OptimizerSpec, name, 0) for name in ("lr", "decay", "decay_epochs", "clip_norm")),
        (OptimizerSpec, "warmup_steps", -1),
        *((TrainSpec, name, -1) for name in ("epochs", "one_pass_epochs", "patience")),
        *((TrainSpec, name, -1) for name in ("batch_size", "threads", "workers")),
        *((TrainSpec, name, 0) for name in ("accumulate", "average_best")),
    ):
        with pytest.raises(ValueError, match=name):
            spec(**{name: value})
