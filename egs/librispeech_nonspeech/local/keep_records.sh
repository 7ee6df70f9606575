#!/usr/bin/env bash
# Copy the records of experiments to records/, without weights and audio: small enough to be part of the repository.
# After `cp -rn records/. exp/`, tables.sh and the report continue from them on another machine.
#
# usage: local/keep_records.sh exp/<name>...     from the recipe's folder, after stage 4
set -euo pipefail

for exp; do
  for file in "$exp"/{config.yaml,run.json,history.jsonl} "$exp"/*/{separation.json,summary.json}; do
    install -D -m 644 "$file" "records/${file#exp/}"
  done
  for file in "$exp"/*/scores.csv; do
    gzip -9 --no-name --stdout "$file" > "records/${file#exp/}.gz"
  done
done
