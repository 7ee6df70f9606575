#!/usr/bin/env bash
# onnx.compose.merge_models joins two graphs of one operator set into a model that names this operator set twice. onnx's
# checker accepts it and onnxruntime runs it, but onnxruntime.quantization.quantize_dynamic ends in "Failed to find proper
# ai.onnx domain". One would expect a merged model to name it once, or whatever runs it to quantise it too. With the
# repetition deleted, the model is quantised.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check onnx==1.19.1 onnxruntime==1.23.2 numpy==2.2.6 sympy==1.14.0
cd "$folder"
cat > try.py <<'EOF'
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import quantize_dynamic


def layer(source: str, target: str) -> onnx.ModelProto:
    weights = numpy_helper.from_array(np.eye(8, dtype=np.float32), f"{source}_w")
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 8]) for name in (source, target)]
    node = helper.make_node("MatMul", [source, weights.name], [target])
    graph = helper.make_graph([node], source, values[:1], values[1:], [weights])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


print("onnx", onnx.__version__, "onnxruntime", onnxruntime.__version__)
merged = onnx.compose.merge_models(layer("a", "b"), layer("c", "d"), io_map=[("b", "c")])
print("operator sets:", [(one.domain, one.version) for one in merged.opset_import])
onnx.checker.check_model(merged)
session = onnxruntime.InferenceSession(merged.SerializeToString(), providers=["CPUExecutionProvider"])
print("runs:", session.run(None, {"a": np.ones((1, 8), np.float32)})[0].sum())
for name in ("repeated", "once"):
    if name == "once":
        del merged.opset_import[1:]
    onnx.save(merged, f"{name}.onnx")
    try:
        quantize_dynamic(f"{name}.onnx", f"{name}.int8.onnx")
        print(f"{name}: quantised")
    except ValueError as error:
        print(f"{name}: ValueError: {error}")
EOF
"$folder/venv/bin/python" try.py 2> /dev/null | tee seen.txt
grep -q "repeated: ValueError: Failed to find proper ai.onnx domain" seen.txt || { echo "changed: see above"; exit 1; }
grep -q "once: quantised" seen.txt || { echo "changed: see above"; exit 1; }
