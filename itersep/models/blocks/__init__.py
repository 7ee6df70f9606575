"""Kinds of blocks by name. A new one is a file in this folder and a line in `BLOCKS` (docs/extending.md)."""

from itersep.models.blocks.base import BlockSpec
from itersep.models.blocks.dprnn import DPRNNSpec

BLOCKS: dict[str, type[BlockSpec]] = {
    "dprnn": DPRNNSpec,
}
