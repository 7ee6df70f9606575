"""What cmd.sh launches on a cluster, with stand-ins for Slurm's programs; tools/test_slurm.sh has the real ones."""

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Runs the script on its standard input at once, for each job of an array, with the output where it was asked for.
SBATCH = r"""#!/usr/bin/env bash
printf '%s\n' "$*" >> asked
script=$(cat) numbers=()
for option; do
  case $option in
    --array=1-*) numbers=($(seq "${option#--array=1-}")) ;;
    --cpus-per-task=*) export SLURM_CPUS_PER_TASK=${option#*=} ;;
    --output=*) log=${option#--output=} ;;
  esac
done
[ ! -e refuse ] || { echo "sbatch: error: invalid partition" >&2; exit 1; }
job=$(( $(cat job 2> /dev/null || echo 10) + 1 )) status=0
echo "$job" | tee job
export SLURM_JOB_ID=$job SLURM_ARRAY_TASK_COUNT=${#numbers[@]}
for number in "${numbers[@]-}"; do
  file=${log//%[jA]/$job}
  SLURM_ARRAY_TASK_ID=$number setsid bash <<< "$script" >> "${file//%a/$number}" 2>&1 &
  echo $! > running
  wait $! || { now=$?; [ "$now" -le "$status" ] || status=$now; }
done
exit "$status"
"""
STAND_INS = {
    "sbatch": SBATCH,
    "srun": '#!/bin/sh\necho "${SRUN_CPUS_PER_TASK-as srun likes}" > cpus\nexec "$@"\n',
    "squeue": "#!/bin/sh\ncat state 2> /dev/null || echo RUNNING\n",
    "scontrol": '#!/bin/sh\n[ "$1" = show ] && echo node7 && echo node8 && exit\necho "$*" >> controlled\n',
    "scancel": '#!/bin/bash\necho "$*" >> cancelled\nkill -KILL -- "-$(cat running)"\n',
    "torchrun": '#!/bin/sh\necho "$*" > torchrun\nwhile [ "$1" != --no-python ]; do shift; done\nshift\n"$@"\n',
}


@pytest.fixture
def launch(tmp_path: Path) -> Callable[..., subprocess.Popen]:
    """Starts a program of utils/ in a folder where Slurm seems to be."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "a folder").mkdir()
    for name, text in STAND_INS.items():
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"

    def start(program: str, *arguments: object, **environment: str) -> subprocess.Popen:
        command = [str(ROOT / "utils" / program), *map(str, arguments)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
        env = os.environ | {"PATH": path} | environment
        return subprocess.Popen(command, cwd=tmp_path / "a folder", env=env, **pipes)

    return start


@pytest.fixture
def run(launch) -> Callable[..., tuple[int, str, str]]:
    """The same, to its end: status, output, errors."""

    def finish(*arguments: object, **environment: str) -> tuple[int, str, str]:
        process = launch(*arguments, **environment)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    return finish


def wait_for(path: Path) -> str:
    deadline = time.monotonic() + 30
    while not path.exists() or not path.read_text():
        assert time.monotonic() < deadline, f"no {path}"
        time.sleep(0.01)
    return path.read_text()


def test_a_job_shows_its_output_and_returns_its_status_whatever_its_words_hold(run, tmp_path):
    words = ["two  words", "$HOME `id` 'quoted' \"twice\"", "*", ""]
    script = 'printf "<%s>" "$@"; exit 3'
    status, out, err = run("slurm.sh", "--mem=1G", "--cpus-per-task=3", "--", "bash", "-c", script, "-", *words)
    assert status == 3 and "".join(f"<{word}>" for word in words) in out
    assert "job 11 ended with status 3, see exp/log/slurm-11.log" in err
    asked = (tmp_path / "a folder/asked").read_text()
    assert shlex.split(asked)[-2:] == ["--mem=1G", "--cpus-per-task=3"] and "--wait" in asked
    assert (tmp_path / "a folder/cpus").read_text() == "3\n"  # srun must be told
    assert run("slurm.sh", "--", "true")[0] == 0
    assert (tmp_path / "a folder/cpus").read_text() == "as srun likes\n"


def test_an_array_does_the_parts_and_then_the_command_as_it_stands(run, tmp_path):
    status, _, err = run("slurm.sh", "--parts", 3, "--mem=1G", "--", "bash", "-c", 'echo "$*" >> done', "-", "x y")
    assert (status, err) == (0, "")
    assert (tmp_path / "a folder/done").read_text().splitlines() == [
        *(f"x y --part {number}/3" for number in (1, 2, 3)),
        "x y",
    ]
    first, last = (tmp_path / "a folder/asked").read_text().splitlines()
    assert "--mem=1G --array=1-3" in first and "--mem=1G" in last and "--array" not in last


def test_without_all_its_parts_the_command_is_not_run(run, tmp_path):
    status, _, err = run("slurm.sh", "--parts", 3, "--", "bash", "-c", '[[ "$*" != *2/3 ]]', "-")
    assert status == 1 and "job 11 ended with status 1" in err
    assert len((tmp_path / "a folder/asked").read_text().splitlines()) == 1


def test_a_job_that_sbatch_refuses_ends_as_sbatch_does(run, tmp_path):
    (tmp_path / "a folder/refuse").touch()
    status, out, err = run("slurm.sh", "--", "true")
    assert status == 1 and out == "" and "invalid partition" in err


@pytest.mark.parametrize(
    ("status", "state", "asked"), [(143, "RUNNING", 1), (143, "COMPLETING", 0), (1, "RUNNING", 0), (0, "RUNNING", 0)]
)
def test_only_a_job_that_was_warned_and_not_ended_asks_for_another_turn(run, tmp_path, status, state, asked):
    (tmp_path / "a folder/state").write_text(state)
    assert run("slurm.sh", "--", "bash", "-c", f"exit {status}")[0] == status
    controlled = tmp_path / "a folder/controlled"
    assert controlled.exists() == asked and (not asked or controlled.read_text() == "requeue 11\n")


@pytest.mark.parametrize(("blow", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_stopping_it_cancels_the_job(launch, tmp_path, blow, status):
    process = launch("slurm.sh", "--parts", "1", "--", "bash", "-c", "echo > began; exec sleep 60", "-")
    wait_for(tmp_path / "a folder/running")
    wait_for(tmp_path / "a folder/began")
    os.killpg(process.pid, blow) if blow == signal.SIGINT else process.send_signal(blow)
    process.communicate(timeout=30)
    assert process.returncode == status
    assert (tmp_path / "a folder/cancelled").read_text().split()[0] == "11"
    assert len((tmp_path / "a folder/asked").read_text().splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--parts", "many", "--", "true"], "--parts needs a number, not 'many'"),
        (["--mem", "1G", "--", "true"], "options of sbatch are --name=value, not '1G'"),
        (["--mem=1G"], "no command after --"),
        (["--mem=1G", "--"], "no command after --"),
    ],
)
def test_mistakes_are_one_sentence(run, arguments, said):
    status, out, err = run("slurm.sh", *arguments)
    assert (status, out) == (2, "") and said in err and err.count("\n") == 1


def test_torchrun_is_told_where_the_nodes_meet(run, tmp_path):
    asked = tmp_path / "a folder/torchrun"
    assert run("torchrun.sh", 4, "true")[0] == 0
    assert asked.read_text() == "--standalone --nproc-per-node=4 --no-python true\n"
    job = {"SLURM_STEP_NUM_NODES": "2", "SLURM_STEP_NODELIST": "node[7-8]", "SLURM_JOB_ID": "12345"}
    assert run("torchrun.sh", 2, "bash", "-c", "exit 5", **job)[0] == 5
    assert asked.read_text().startswith(
        "--nnodes=2 --rdzv-backend=c10d --rdzv-id=12345 --rdzv-endpoint=node7:22345 --nproc-per-node=2 --no-python bash"
    )
    assert run("torchrun.sh", "four", "true")[0] == 2


def test_torchrun_ends_as_terminated_after_what_it_started(launch, tmp_path):
    worker = "trap 'sleep 0.3; echo saved > saved; exit 1' TERM; echo > began; while :; do sleep 0.1; done"
    process = launch("torchrun.sh", 1, "bash", "-c", worker)
    wait_for(tmp_path / "a folder/began")
    os.killpg(process.pid, signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 143 and (tmp_path / "a folder/saved").exists()


@pytest.mark.parametrize("cmd", sorted(ROOT.glob("egs/*/cmd.sh")), ids=lambda path: path.parent.name)
def test_cmd_sets_every_launcher_to_a_program_that_is_there(cmd):
    kinds = ("prepare", "simulate", "train", "separate", "score")
    show = "; ".join(f'echo "${{{kind}_cmd[*]}}"' for kind in kinds)

    def read(launch: str) -> subprocess.CompletedProcess:
        script = f". {shlex.quote(str(cmd))}; {show}"
        env = {**os.environ, "LAUNCH": launch}
        return subprocess.run(["bash", "-euc", script], capture_output=True, text=True, env=env, timeout=10)

    assert read("").stdout == "\n" * 5
    for name in ("here", "gpus", "slurm", "slurm_nodes"):
        lines = read(name).stdout.splitlines()
        assert len(lines) == 5 and (name == "here") == (not any(lines))
        for word in " ".join(lines).split():
            assert not word.endswith(".sh") or os.access(ROOT / "utils" / word, os.X_OK)
    wrong = read("slrum")
    assert wrong.returncode == 2 and "'slrum'" in wrong.stderr


@pytest.mark.parametrize(("blow", "status", "even_if"), [(signal.SIGTERM, 143, "|| true"), (signal.SIGINT, 130, "")])
def test_a_recipe_lets_its_stage_end_when_a_cluster_or_a_terminal_ends_all(tmp_path, blow, status, even_if):
    """A signal to the whole group: what works gets the time that it takes, and the next stage is not begun."""
    recipe = tmp_path / "egs/r"
    recipe.mkdir(parents=True)
    (tmp_path / "tools").mkdir()
    for path, text in {
        tmp_path / "tools/install.sh": "#!/bin/sh\n",
        recipe / "path.sh": f"root={shlex.quote(str(tmp_path))}\n",
        recipe / "cmd.sh": "",
        recipe / "run.sh": f"""#!/usr/bin/env bash
set -euo pipefail
stage=0
stop_stage=4
. {ROOT}/utils/parse_options.sh
. {ROOT}/utils/recipe.sh
bash -c 'trap "sleep 0.3; echo > saved; exit {status}" TERM INT; echo > began; while :; do sleep 0.1; done' {even_if}
echo > next
""",
    }.items():
        path.write_text(text)
        path.chmod(0o755)
    process = subprocess.Popen([recipe / "run.sh"], start_new_session=True)
    wait_for(recipe / "began")
    os.killpg(process.pid, blow)
    assert process.wait(timeout=30) == status
    assert (recipe / "saved").exists() and not (recipe / "next").exists()
