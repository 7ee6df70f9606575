"""egs/README.md, followed to the letter: its commands are run, its files are written as they stand there."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from itersep.data.datadir import read_table
from itersep.score.summary import read_summary
from tests.runs import ROOT

TINY = """
model:
  dprnn: {features: 8, hidden: 8, chunk: 24}
data: {epoch_size: 2}
train: {epochs: 1, batch_size: 2, workers: 0, device: cpu}
"""


@pytest.fixture
def corpus(tmp_path, rng) -> Path:
    """Six speakers with a recording of 6 s each, in LibriSpeech's folders."""
    for speaker in range(1, 7):
        folder = tmp_path / "my corpús" / str(speaker) / "10"
        folder.mkdir(parents=True)
        envelope = 0.1 * (1.2 + np.sin(np.arange(96000) / (900 + 100 * speaker)))
        soundfile.write(folder / f"{speaker}-10-0000.flac", envelope * rng.uniform(-1, 1, 96000), 16000)
    return tmp_path / "my corpús"


def test_the_page_makes_a_recipe_that_runs_every_stage(clone, corpus, shell):
    (clone / "egs/mini").symlink_to(ROOT / "egs/mini")
    page = (ROOT / "egs/README.md").read_text().split("\n## Your corpus in four steps\n")[1].split("\n## ")[0]
    blocks = re.findall(r"```(\w+)\n(.*?)```", page, flags=re.DOTALL)
    assert [language for language, _ in blocks] == ["sh", "python", "yaml", "yaml", "sh", "sh"]
    start, *files, last = (text for _, text in blocks)

    def bash(commands: str, folder: Path) -> str:
        done = shell("bash", "-euc", commands, folder=folder)
        assert done.returncode == 0, done.stderr
        return done.stdout

    bash(start, clone)
    mine = clone / "egs/mine"
    names = re.findall(r"^`([\w./]+)`", page, flags=re.MULTILINE)
    assert names == ["local/prepare_data.py", "conf/simulate.yaml", "conf/freq.yaml", "run.sh"]
    for name, text in zip(names, files, strict=True):
        (mine / name).write_text(text.replace("--count 200", "--count 3"))  # the same, but for the minutes
    (mine / "conf/tiny.yaml").write_text(TINY)
    tiny = "--stop-stage 4 --config conf/freq.yaml,conf/tiny.yaml --iterations 1 --nj 1"
    said = bash(last.replace("--corpus CORPUS", f"--corpus '{corpus}' {tiny}"), mine)
    assert said.count(": ok, ") == 5 and "3 mixtures, 1 iterations" in said
    assert len(set(read_table(mine / "data/train/utt2spk").values())) == 2
    assert read_summary(mine / "exp/freq_tiny/test_2mix/summary.json")["mixtures"] == 3
    assert "freq_tiny" in (mine / "RESULTS.md").read_text()
    shellcheck = shutil.which("shellcheck")
    assert not shellcheck or bash(f"{shellcheck} egs/mine/run.sh", clone) == ""
