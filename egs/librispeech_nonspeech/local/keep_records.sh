#!/usr/bin/env bash
# Keep what experiments have told in records/, without weights and audio: small enough to be part of the repository.
# `cp -rn records/. exp/` lets tables.sh and the report go on from there on another machine.
#
# usage: local/keep_records.sh exp/<name>...     from the recipe's folder, after stage 4
set -euo pipefail

for exp; do
  for file in "$exp"/{config.yaml,run.json,history.jsonl} "$exp"/*/{separation.json,summary.json,scores.csv}; do
    install -D -m 644 "$file" "records/${file#exp/}"
  done
done
