"""Generalized iterative speech separation: models, losses, simulation, training, scoring.

import itersep
est = itersep.load("exp/freq").separate(wave, sample_rate)
"""

from typing import Any

__version__ = "0.1.0"
__all__ = ["Separator", "load"]


def __getattr__(name: str) -> Any:  # importing a part of the library should not load torch
    if name in __all__:
        from itersep.separate import waves

        return getattr(waves, name)
    raise AttributeError(f"module 'itersep' has no attribute '{name}'")
