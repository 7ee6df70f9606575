"""The model card of a published experiment: what it is, what it was trained on, how well it does, how it was made."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import yaml

from itersep.report.experiment import ExperimentRecord, ScoredSet
from itersep.report.markdown import format_duration, format_row, render_table
from itersep.report.tables import all_rows, explain_silence, explain_units, found_metrics, list_commands, silence_table
from itersep.score.registry import shown_metrics

TAGS = ["speech-separation", "source-separation", "audio"]
NOT_RECORDED = "not recorded"


def render_card(
    record: ExperimentRecord, sets: Sequence[ScoredSet], *, trained_on: str, license_id: str, where: str
) -> str:
    """The markdown of a model card, with the metadata that the Hugging Face Hub reads.

    Args:
        record: the experiment
        sets: those of its scored sets to tell of
        trained_on: the recordings that it was trained on and their licences, in words
        license_id: licence of the weights, by the Hub's identifier
        where: folder or name on the Hub by which a reader gets the model
    """
    metadata = {"library_name": "itersep", "license": license_id, "pipeline_tag": "audio-to-audio", "tags": TAGS}
    parts = [f"---\n{yaml.safe_dump(metadata, sort_keys=False)}---\n\n# {record.name}", _describe_model(record)]
    parts += ["## Use", _show_use(where)]
    parts += ["## Training data", trained_on, _describe_mixtures(record.config["data"])]
    parts += ["## Licence", _describe_license(license_id)]
    parts += ["## Scores", *([_render_scores(scored) for scored in sets] or ["None were published with this model."])]
    parts += ["## How it was made", _render_run(record)]
    if commands := list_commands(replace(record, sets=list(sets))):
        parts.append("```sh\n" + "\n".join(commands) + "\n```")
    parts.append("The whole configuration is in `config.json`.")
    return "\n\n".join(parts) + "\n"


def _describe_model(record: ExperimentRecord) -> str:
    model, separator = record.config["model"], record.config["model"]["separator"]
    parameters = f"; {record.run['parameters']:,} parameters" if "parameters" in record.run else ""
    return (
        f"Separates a recording of {model['sources']} people who speak at once, one microphone at "
        f"{model['sample_rate']} Hz, into one signal for each, and does so again and again with its own estimates as "
        f"further input. An iterative separator of itersep: {model['filterbank']['kind']} filterbank, "
        f"{separator['simo_blocks']} SIMO and {separator['siso_blocks']} SISO blocks, trained for iterations: "
        f"{model['iterations']}{parameters}."
    )


def _show_use(where: str) -> str:
    return f"""```sh
itersep-separate --model {where} recording.wav --out separated
```

```python
import itersep

model = itersep.load("{where}")
```"""


def _describe_mixtures(data: dict[str, Any]) -> str:
    """How the mixtures came about: of fresh ones the configuration tells all, of those from files only their length."""
    simulation = data["simulation"]
    if data["mode"] != "fresh":
        return f"Pieces of {data['segment_s']:g} s of mixtures that were the same in every epoch."
    low_t60, high_t60 = simulation["t60_s"]
    low_snr, high_snr = simulation["noise_snr_db"]
    noise = f"noise {low_snr:g} to {high_snr:g} dB below the voices" if data["noise"] is not None else "no noise"
    return (
        f"Mixtures were simulated and drawn afresh in every epoch: rooms with a T60 of {low_t60:g} to {high_t60:g} s, "
        f"{noise}, {simulation['length_s']:g} s long. Other conditions were not trained on."
    )


def _describe_license(license_id: str) -> str:
    told = {"unknown": "No licence of the weights was stated", "other": "The weights: as *Training data* says"}
    weights = told.get(license_id, f"The weights: {license_id}")
    return (
        f"{weights}. The recordings that they were trained on have licences of their own, named above; they are not "
        "part of this model, and what they ask of those who use it is for you to check. The code of itersep: MIT."
    )


def _render_scores(scored: ScoredSet) -> str:
    summary, tried = scored.summary, [(scored.name, scored)]
    metrics = found_metrics(shown_metrics(), all_rows(tried))
    rows = [[row["iteration"] or "0 (the mixture)", *format_row(row, metrics)] for row in summary["iterations"]]
    table = render_table(["iterations", *(metric.head for metric in metrics)], "r" + "r" * len(metrics), rows)
    parts = [
        f"`{scored.name}`: {summary['mixtures']} mixtures of {summary['speakers']} speakers. {explain_units(metrics)} "
        f"[{summary['interval']}].",
        table,
    ]
    if silence := silence_table(tried):
        parts += [explain_silence(), render_table(*silence)]
    return "\n\n".join(parts)


def _render_run(record: ExperimentRecord) -> str:
    run, history = record.run, record.history
    rows = [[name, run.get(name, NOT_RECORDED)] for name in ("commit", "itersep", "torch", "device", "precision")]
    if history:
        rows.append(["epochs", f"{history[-1]['epoch']}, the best {record.best_epoch['epoch']}"])
        rows.append(["training time", format_duration(sum(line.get("seconds", 0) for line in history))])
    rows.append(["config.yaml, SHA-256", f"`{record.config_digest}`"])
    return render_table(["", ""], "ll", rows)
