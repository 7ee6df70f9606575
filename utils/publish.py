#!/usr/bin/env python3
"""Make of exp/<name> a folder that others can use, and upload it where asked: weights, configuration, model card."""

from dataclasses import replace
from pathlib import Path

from jsonargparse import Namespace

from itersep.report.card import render_card
from itersep.report.experiment import ExperimentRecord, ScoredSet, read_experiment
from itersep.separate.folder import model_sha256
from itersep.share.hub import CARD, CONFIG, WEIGHTS, PretrainedModel
from itersep.system.cli import guard, make_parser, parse
from itersep.system.errors import UserError
from itersep.train.checkpoint import load_model


def main() -> None:
    """Read the experiment, write the folder, push it."""
    options = parse_options()
    record = read_experiment(options.experiment)
    model, config = load_model(record.folder)
    record = replace(record, config=config)  # config.yaml, but whole and of this very model
    sets = [] if options.without_scores else scored_sets(record, model_sha256(model, config["model"]))
    out = Path(options.out or record.folder / "published")
    where = options.repo_id or "path/to/this/folder"
    card = render_card(record, sets, trained_on=options.trained_on, license_id=options.license, where=where)
    pretrained = PretrainedModel(model, config, card)
    pretrained.save_pretrained(out)
    for name in (WEIGHTS, CONFIG, CARD):
        print(f"{out / name}: {(out / name).stat().st_size:,} bytes")
    if options.repo_id:
        print(pretrained.push_to_hub(options.repo_id, private=options.private))


def parse_options() -> Namespace:
    """The options, which must make sense together."""
    parser = make_parser(__doc__)
    parser.add_argument("experiment", help="experiment folder, exp/<name>; its best checkpoint is taken")
    parser.add_argument("--trained-on", required=True, help="the recordings it was trained on and their licences")
    parser.add_argument("--license", default="unknown", help="licence of the weights, such as mit or cc-by-4.0")
    parser.add_argument("--out", help="folder to write; exp/<name>/published by default")
    parser.add_argument("--without-scores", action="store_true", help="publish without any scores")
    parser.add_argument("--repo-id", help="upload to the Hugging Face Hub as user/name; log in by `hf auth login`")
    parser.add_argument("--private", action="store_true", help="where the upload makes a new model: a private one")
    options = parse(parser)
    if options.private and not options.repo_id:
        raise UserError("--private is of an upload; give --repo-id too")
    return options


def scored_sets(record: ExperimentRecord, digest: str) -> list[ScoredSet]:
    """The sets with scores of the model of that digest. Raises UserError where there are none, or another's."""
    if not record.sets:
        raise UserError(f"{record.folder}: no scores in there; run stages 3 and 4, or give --without-scores")
    for scored in record.sets:
        if scored.summary["model_sha256"] != digest:
            raise UserError(f"{scored.folder}: the scores are not of best.pt as it is now; run stages 3 and 4 again")
    return record.sets


if __name__ == "__main__":
    guard(main)
