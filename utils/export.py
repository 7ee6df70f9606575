#!/usr/bin/env python3
"""Write a trained model as ONNX, any length in and out, checked with onnxruntime against torch before it is written."""

from pathlib import Path

from jsonargparse.typing import NonNegativeInt

from itersep.separate.waves import load_network
from itersep.share.export import LEAST_ONNXRUNTIME, export_onnx
from itersep.system.cli import guard, make_parser, parse


def main() -> None:
    """Read the model, export it, say how far the export is from it."""
    parser = make_parser(__doc__)
    parser.add_argument("model", help="experiment folder (its best checkpoint), checkpoint file, or published folder")
    parser.add_argument("--out", required=True, help="file to write, such as model.onnx")
    parser.add_argument(
        "--iterations", type=NonNegativeInt, default=0, help="separations; 0: as many as it was trained for"
    )
    options = parse(parser)
    model, config = load_network(Path(options.model))
    rate, iterations = model.sample_rate, options.iterations or model.iterations
    differences = export_onnx(model, options.out, rate, iterations)
    print(f"{options.out}: {rate} Hz, iterations: {iterations}, for onnxruntime {LEAST_ONNXRUNTIME} or later")
    print("largest difference between onnxruntime and torch:")
    for length, difference in differences.items():
        print(f"{length:8} samples  {difference:.1e}")


if __name__ == "__main__":
    guard(main)
