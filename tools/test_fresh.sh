#!/usr/bin/env bash
# Run README's two commands on a fresh Debian: a minimal root by debootstrap, with an ordinary user and a clone of this
# checkout (without uncommitted changes). Prints the time of each. Run it by hand, as root.
#
# usage: tools/test_fresh.sh [options] [SUITE]
#   SUITE                  trixie (Debian 13, the default), or a newer one: testing, sid
#   --run-options "..."    of egs/mini/run.sh
#   --test-options "..."   of tools/test.sh
#   --folder DIR           folder of the root, which is removed at the end; it takes up to 12 GB
set -euo pipefail

run_options=
test_options=
folder=/var/tmp

checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$checkout/utils/parse_options.sh"
absolute_paths folder
suite=${1:-trixie}
die() { echo "test_fresh.sh: $*" >&2; exit 1; }

# Run a command in its own namespaces, so that its mounts and processes end with it. It runs in the background because
# bash handles a signal while it waits, and not while a program is in the foreground.
apart() {
  unshare --mount --pid --fork --kill-child --mount-proc "$@" < /dev/null &
  wait $!
}

# shellcheck disable=SC2317,SC2329 # the trap calls it
clean_up() {
  local job
  for job in $(jobs -p); do kill -KILL "$job" 2> /dev/null || true; done
  wait
  rm -rf --one-file-system "$root" "$root.log"
}

in_root() {
  # shellcheck disable=SC2016
  apart bash -euc '
    root=$0
    mount -t proc proc "$root/proc"
    for name in dev sys; do mount --rbind "/$name" "$root/$name"; done
    exec chroot "$root" "$@"' "$root" "$@"
}

# Run a line in the clone, from a login shell that keeps only the network settings, and note its time.
newcomer() {
  local begun=$SECONDS status=0
  echo "test_fresh.sh: $1"
  in_root runuser -l newcomer -w http_proxy,https_proxy,no_proxy,PIP_INDEX_URL -c "cd itersep && $1" || status=$?
  took+=("$(printf '%3d min %02d s, status %d: %s' $(((SECONDS - begun) / 60)) $(((SECONDS - begun) % 60)) $status "$1")")
  failed=$((failed + (status > 0)))
}

[ $# -le 1 ] || option_error "unexpected argument '$2'"
[ "$(id -u)" = 0 ] || die "only root can make and enter another root; use sudo"
for program in debootstrap git unshare; do
  command -v "$program" > /dev/null || die "$program is missing; on Debian or Ubuntu: apt-get install debootstrap git"
done
apart true || die "root cannot make namespaces on this machine, as in a container; use a virtual machine"

root=$(mktemp -d -p "$folder" fresh.XXXXXX)
trap clean_up EXIT
chmod 755 "$root"
apart debootstrap --variant=minbase --include=ca-certificates,git,python3-venv "$suite" "$root" > "$root.log" 2>&1 \
  || die "debootstrap failed ($(tail -n 1 "$root.log")); look at the network and the suite's name"

# This machine's network settings: names, certificates, and apt's proxies and checks.
cp --dereference /etc/resolv.conf "$root/etc/resolv.conf"
cp --dereference /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
apt-config dump 2> /dev/null | grep -E '^Acquire::(https?::|Check-)' > "$root/etc/apt/apt.conf.d/90network" || true

chroot "$root" useradd --create-home --uid 1000 --shell /bin/bash newcomer
git clone --quiet --no-hardlinks "$checkout" "$root/home/newcomer/itersep"
chown -R 1000:1000 "$root/home/newcomer"

took=() failed=0
newcomer "egs/mini/run.sh${run_options:+ $run_options}"
newcomer "tools/test.sh${test_options:+ $test_options}"
# shellcheck disable=SC2016
in_root sh -c '. /etc/os-release
  echo "test_fresh.sh: $PRETTY_NAME, $(python3 --version), on $(nproc) processors"
  cd /home/newcomer/itersep/tools/venv && ls -d lib/python3*/site-packages/torch*-*.dist-info && du -sh .' || true
printf 'test_fresh.sh: %s\n' "${took[@]}"
exit "$failed"
