#!/usr/bin/env bash
# A Python environment of its own, tools/bench/venv, with the toolkits that tools/bench/train.py compares itersep with.
# They are installed without their dependencies, most of which pin other versions of torch and serve other purposes.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"
python3 -m venv venv
venv/bin/pip install --quiet -e ../..
venv/bin/pip install --quiet --no-deps asteroid==0.7.0 asteroid-filterbanks==0.4.0 speechbrain==1.1.2 espnet==202511 \
  torch-complex typeguard hyperpyyaml ruamel.yaml huggingface_hub sentencepiece joblib requests urllib3 certifi \
  charset-normalizer idna packaging httpx
venv/bin/python - << 'CHECK'
from asteroid.models.dprnn_tasnet import DPRNNTasNet
from espnet2.enh.separator.dprnn_separator import DPRNNSeparator
from speechbrain.lobes.models.dual_path import Dual_Path_Model
CHECK
echo "installed: tools/bench/venv/bin/python tools/bench/train.py"
