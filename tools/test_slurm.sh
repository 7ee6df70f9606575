#!/usr/bin/env bash
# Show that recipes run on a cluster: start a Slurm of two nodes on this machine and put egs/mini through it.
#
# usage: tools/test_slurm.sh      as root, after egs/mini/run.sh --stop-stage 0
#
# 1. Stages 1 to 4 without Slurm, with little training, to compare with.
# 2. The same with LAUNCH=slurm. The training is cancelled, the same command resumes it, and then its job is requeued. In
#    the end, every mixture, weight, loss, estimate and score has the same bits as in 1.
# 3. Training on both nodes at once (LAUNCH=slurm_nodes), requeued too: its losses are those of 1 to rounding.
# 4. A job is warned of its time limit, ends, and has another turn.
#
# All this runs in its own namespaces. Each node has its own network and host name, and reaches the other only through a
# bridge between them; the checkout is mounted as an overlay; /etc is not changed, and nothing is left behind.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
say() { echo "test_slurm.sh: $*"; }
die() { say "$*" >&2; exit 1; }
config=conf/freq.yaml,conf/slurm.yaml

prepare() {
  [ $# -eq 0 ] || die "unexpected argument '$1'; see the first lines of this file"
  [ "$(id -u)" = 0 ] || die "only root can start a Slurm and its networks; use sudo, or a virtual machine"
  local program missing=()
  for program in slurmctld slurmd sbatch munged ip; do
    command -v "$program" > /dev/null || missing+=("$program")
  done
  [ ${#missing[@]} = 0 ] || die "${missing[*]} missing; on Debian or Ubuntu: apt-get install --no-install-recommends" \
    "slurmctld slurmd slurm-client munge iproute2"
  [ -e "$root/egs/mini/data/origin" ] || die "there are no speech data; run egs/mini/run.sh --stop-stage 0 first"
  "$root/tools/install.sh"
  dir=$(mktemp -d)
  trap 'rm -rf "$dir"' EXIT
  chmod 755 "$dir"
  unshare --mount --pid --fork --kill-child --mount-proc --net --uts true \
    || die "root cannot make namespaces on this machine, as in a container; use a virtual machine"
  unshare --mount --pid --fork --kill-child --mount-proc --net --uts "$0" --inside "$dir"
}

# A Slurm of two nodes with GPUs by name and as many processors as cmd.sh asks for, whatever this machine has.
start_slurm() {
  hostname head
  ip link set lo up
  ip link add bridge type bridge
  ip address add 10.0.0.10/24 dev bridge
  ip link set bridge up
  printf '%s\n' '127.0.0.1 localhost' '10.0.0.10 head' '10.0.0.1 node1' '10.0.0.2 node2' > "$dir/hosts"
  mount --bind "$dir/hosts" /etc/hosts
  mkdir "$dir/state" "$dir/munge"
  head -c 1024 /dev/urandom > "$dir/munge/key"
  chmod 400 "$dir/munge/key"
  chown -R munge: "$dir/munge"
  setpriv --reuid munge --regid munge --clear-groups munged --key-file "$dir/munge/key" --socket "$dir/munge/socket" \
    --pid-file "$dir/munge/pid" --log-file "$dir/munge/log" --seed-file "$dir/munge/seed"
  echo 'Name=gpu File=/dev/null' > "$dir/gres.conf"
  cat > "$dir/slurm.conf" << END
ClusterName=test
SlurmctldHost=head
SlurmUser=root
AuthInfo=socket=$dir/munge/socket,cred_expire=5
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool-%n
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd-%n.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd-%n.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SlurmdParameters=config_overrides
GresTypes=gpu
NodeName=node[1-2] CPUs=64 RealMemory=200000 Gres=gpu:1
PartitionName=all Nodes=node[1-2] Default=YES
END
  export SLURM_CONF=$dir/slurm.conf
  slurmctld
  local n
  for n in 1 2; do
    # shellcheck disable=SC2016 # the node's own shell fills in its variables
    unshare --net --uts bash -c 'hostname "node$1"; ip link set lo up; echo $$ > "$2"
      until ip address add "10.0.0.$1/24" dev eth0 2> /dev/null; do sleep 0.1; done
      ip link set eth0 up; exec slurmd' - "$n" "$dir/node$n" &
    until [ -s "$dir/node$n" ]; do sleep 0.1; done
    ip link add "port$n" type veth peer name eth0 netns "$(cat "$dir/node$n")"
    ip link set "port$n" master bridge up
  done
  wait_for nodes_are_idle
  say "Slurm $(sinfo --version | cut -d ' ' -f 2): $(sinfo --noheader --format='%D nodes, %N, %T')"
}

# wait_for <command>: until it succeeds, for a quarter of an hour at most: the machine may be busy.
wait_for() {
  local end=$((SECONDS + 900))
  until "$@" > /dev/null 2>&1; do
    [ "$SECONDS" -lt "$end" ] || fail "waited in vain for: $*"
    sleep 0.2
  done
}
nodes_are_idle() { [ "$(sinfo --noheader --states=idle --format=%D)" = 2 ]; }
fail() {
  tail -n 20 "$dir"/[1-4]*.log exp/log/*.log >&2
  die "$*"
}
recipe() { ./run.sh --iterations 2 --results '' "$@"; }

training_job() { squeue --noheader --states=RUNNING --format=%i; }
requeue_in_epoch_2() { # <experiment>
  wait_for grep -q ' epoch 1:' "$1/train.log"
  sleep 2
  scontrol requeue "$(training_job)"
  wait_for grep -q 'going on after epoch 1, batch [1-9]' "$1/train.log"
  say "   requeued by scontrol: $(grep -o 'going on after.*' "$1/train.log" | tail -n 1)"
}

test_without_slurm() {
  say "1. without Slurm: $config, stages 1 to 4"
  recipe --stage 1 --config "$config" > "$dir/1.log" 2>&1 || fail "the recipe does not run here"
  mkdir "$dir/here"
  mv exp data/{dev,test}_2mix "$dir/here"
}

test_with_slurm() {
  say "2. LAUNCH=slurm, stages 1 to 4"
  local exp=exp/freq_slurm running status=0
  LAUNCH=slurm recipe --stage 1 --config "$config" > "$dir/2a.log" 2>&1 &
  running=$!
  wait_for test -e "$exp/last.pt" # it has made a step
  scancel "$(training_job)"
  wait "$running" || status=$?
  [ "$status" != 0 ] || fail "run.sh ends well though its training was cancelled"
  say "   training cancelled by scancel: run.sh ended with status $status"
  LAUNCH=slurm recipe --stage 2 --config "$config" > "$dir/2b.log" 2>&1 &
  running=$!
  wait_for grep -q 'going on after epoch 0, batch [1-9]' "$exp/train.log"
  say "   run.sh again, from stage 2: $(grep -o 'going on after.*' "$exp/train.log")"
  requeue_in_epoch_2 "$exp"
  wait "$running" || fail "run.sh failed with Slurm"
  for set in dev_2mix test_2mix; do
    diff -r "data/$set" "$dir/here/$set" || fail "data/$set is not that of 1"
  done
  for what in test_2mix/{iter1,iter2,utt2gain,scores.csv}; do
    diff -r "$exp/$what" "$dir/here/$exp/$what" || fail "$exp/$what is not that of 1"
  done
  compare_trainings "$exp" "$dir/here/$exp" 0 || fail "the training is not that of 1"
}

test_two_nodes() {
  say "3. LAUNCH=slurm_nodes, training on both nodes"
  cp conf/slurm.yaml conf/nodes.yaml
  local exp=exp/freq_nodes running
  LAUNCH=slurm_nodes recipe --stage 2 --stop-stage 2 --config conf/freq.yaml,conf/nodes.yaml > "$dir/3.log" 2>&1 &
  running=$!
  wait_for test -e "$exp/train.log"
  say "   $(squeue --noheader --format='job %i trains on %D nodes, %N')"
  requeue_in_epoch_2 "$exp"
  wait "$running" || fail "training on two nodes failed"
  compare_trainings "$exp" "$dir/here/exp/freq_slurm" 1e-3 || fail "the losses are not those of 1"
}

test_end_of_time() {
  say "4. a job of two minutes that needs more"
  ../../utils/slurm.sh --time=2 --signal=TERM@90 -- bash -c 'mkdir exp/turn1 || exit 0; exec sleep 600' > "$dir/4.log" 2>&1 \
    || fail "a job that was warned of the end of its time had no other turn"
  say "   SIGTERM came before, and the job had another turn"
}

# compare_trainings <experiment> <experiment> <difference of losses that may be>: 0 asks for the same weights too.
compare_trainings() {
  ../../tools/venv/bin/python - "$@" << 'END'
import json, sys, torch
one, other = ([json.loads(line) for line in open(f"{exp}/history.jsonl")] for exp in sys.argv[1:3])
pairs = [(a[key], b[key]) for a, b in zip(one, other, strict=True) for key in ("train_loss", "valid_loss")]
difference = max(abs(a - b) for a, b in pairs)
equal = []
for name in ("best.pt", "last.pt"):
    a, b = (torch.load(f"{exp}/{name}", weights_only=True)["model"] for exp in sys.argv[1:3])
    equal += [torch.equal(a[key], b[key]) for key in a]
print(f"test_slurm.sh:    {sum(equal)} of {len(equal)} tensors of best.pt and last.pt are equal; of {len(pairs)} losses, "
      f"such as {pairs[-1][0]:.6f}, none differs by more than {difference:.1e}")
sys.exit(difference > float(sys.argv[3]) or (sys.argv[3] == "0" and not all(equal)))
END
}

test_all() {
  mount -t overlay overlay -o "lowerdir=$root,upperdir=$dir/upper,workdir=$dir/work" "$root" \
    || die "no overlay of $root can be mounted"
  cd "$root/egs/mini"
  rm -rf exp data/{dev,test}_2mix
  cat > conf/slurm.yaml << END
data: {epoch_size: 60}
train: {epochs: 2, precision: fp32, threads: 1, device: cpu, save_every_s: 1}
END
  # cmd.sh, fitted to this cluster
  sed -i 's/--parts 16/--parts 3/; s/--parts 4/--parts 2/; s/gpu:4/gpu:1/; s/torchrun.sh 4/torchrun.sh 1/' cmd.sh
  test_without_slurm
  test_with_slurm
  test_two_nodes
  test_end_of_time
  say "all as it should be, in $SECONDS s"
}

if [ "${1:-}" = --inside ]; then
  dir=$2
  trap 'exit 130' INT TERM
  mkdir "$dir/upper" "$dir/work"
  start_slurm
  test_all
else
  prepare "$@"
fi
