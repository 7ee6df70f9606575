#!/usr/bin/env bash
# onnxscript's optimizer takes x + 1e-8 for x + 0, and drops the sum.
#
# Seen: its rule for sums with zero compares the constant to 0 with an absolute tolerance of 1e-8, so that every constant
# up to that goes, as the 1e-8 under the root of a norm does. torch.onnx.export(dynamo=True) runs it. What is divided by
# such a root is right for any signal, until one is silent: then it is 0 / 0.
# Expected: a sum is left out where the constant is 0.
# A way out: (x / 1e-8 + 1) * 1e-8.
#
# Exits with 1 if it behaves otherwise.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check onnxscript==0.7.2 onnx==1.23.2 onnxruntime==1.26.0 \
  numpy==2.4.6
"$folder/venv/bin/python" - << 'END'
import numpy as np
import onnx
import onnxruntime
import onnxscript
from onnx import TensorProto, helper, numpy_helper
from onnxscript import optimizer

print(f"onnxscript {onnxscript.__version__}, onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}")


def norm(eps: float) -> onnx.ModelProto:
    """x / sqrt(x * x + eps)."""
    nodes = [
        helper.make_node("Mul", ["x", "x"], ["power"]),
        helper.make_node("Add", ["power", "eps"], ["sum"]),
        helper.make_node("Sqrt", ["sum"], ["root"]),
        helper.make_node("Div", ["x", "root"], ["y"]),
    ]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in "xy")
    constants = [numpy_helper.from_array(np.float32(eps), "eps")]
    graph = helper.make_graph(nodes, "norm", [x], [y], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def run(model: onnx.ModelProto) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": np.array([0.0, 1.0], dtype=np.float32)})[0]


left = {}
for eps in (1e-7, 1e-8):
    plain, optimized = norm(eps), optimizer.optimize(norm(eps))
    left[eps] = any(node.op_type == "Add" for node in optimized.graph.node)
    print(f"eps {eps:g}: {run(plain)} as it is, {run(optimized)} optimized; the sum is {'there' if left[eps] else 'gone'}")
raise SystemExit(0 if left[1e-7] and not left[1e-8] and np.isnan(run(optimized)[0]) else 1)
END
