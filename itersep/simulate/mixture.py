"""Simulated mixtures of several speakers and a noise in a room, in three steps.

    draw      SimulationSpec, draw_mixture    a distribution, and mixture number k of it
    manifest  Mixture, read_mixtures          what was drawn, as a line of JSON; DryMixture: without a room
    render    render_mixture, Rendered        the line and the audio, turned into signals

In place of the first step, `itersep.simulate.lists.tac` takes what is published of the paper's own mixtures, and
`itersep.simulate.lists.librimix` those of LibriMix.
The audio comes from ``Clips``, one data directory of utterances or noises.
"""

from itersep.simulate.clips import Clips, load_clips
from itersep.simulate.draw import SimulationSpec, draw_mixture
from itersep.simulate.manifest import (
    AnyMixture,
    DryMixture,
    Mixture,
    NoiseDraw,
    ScaledClip,
    SpeakerDraw,
    manifest_text,
    read_mixtures,
)
from itersep.simulate.render import Rendered, render_mixture

__all__ = [
    "AnyMixture",
    "Clips",
    "DryMixture",
    "Mixture",
    "NoiseDraw",
    "Rendered",
    "ScaledClip",
    "SimulationSpec",
    "SpeakerDraw",
    "draw_mixture",
    "load_clips",
    "manifest_text",
    "read_mixtures",
    "render_mixture",
]
