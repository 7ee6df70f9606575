#!/usr/bin/env bash
# Fetch Debian packages and unpack them, without root and without touching the system's package state.
# usage: local/download.sh <downloads-folder>   ->   <downloads-folder>/<package>/usr/share/...
set -euo pipefail

packages=(fillets-ng-data-{cs,nl} asterisk-core-sounds-{en,fr,it,ru}-g722 klettres-data ktuberling-data
          sonic-pi-samples)

[ $# -eq 1 ] || { echo "usage: $0 <downloads-folder>" >&2; exit 2; }
mkdir -p "$1"
downloads=$(cd "$1" && pwd)
die() { echo "download.sh: $*; or use speech of your own: ./run.sh --corpus-dir DIR --noise-dir DIR" >&2; exit 1; }

# A package is unpacked aside and renamed: a folder that is there is whole.
missing=()
for package in "${packages[@]}"; do
  [ -d "$downloads/$package" ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || { rm -rf "$downloads/.apt"; exit 0; } # which a kill may have left

for program in apt-get dpkg-deb; do
  command -v "$program" > /dev/null || die "$program is missing: the speech comes from Debian" \
    "packages, so run this on Debian or Ubuntu"
done

# The system's settings of apt (sources, proxies) without its hooks, and with lists, cache and log of our own.
apt=$downloads/.apt
mkdir -p "$apt"/{lists,cache/archives}/partial "$apt/log"
{
  apt-config dump | grep -v -E '^(APT::Update::P|DPkg::P)'
  cat << END
Dir::Etc::parts "/dev/null";
Dir::Etc::main "/dev/null";
Dir::State "$apt";
Dir::State::lists "lists";
Dir::Cache "$apt/cache";
Dir::Log "$apt/log";
APT::Sandbox::User "$(id -un)";
Acquire::Languages "none";
Acquire::Retries "2";
Acquire::http::Timeout "20";
END
} > "$apt/apt.conf"
export APT_CONFIG=$apt/apt.conf

echo "Fetching ${#missing[@]} Debian packages into $downloads: ${missing[*]}"
cd "$apt"
# A source that fails (a third party's, say) must not stop us: what counts is whether the packages can then be had.
apt-get -q update > log/download 2>&1 || true
apt-get -q download "${missing[@]}" >> log/download 2>&1 \
  || die "apt could not fetch the packages ($(grep '^E: ' log/download | tail -n 1)); look at the network, and that" \
    "apt's sources hold main (Debian) or universe (Ubuntu)"

for package in "${missing[@]}"; do
  rm -rf "unpacked-$package"
  dpkg-deb -x "$package"_*.deb "unpacked-$package"
  mv "unpacked-$package" "$downloads/$package"
done
rm -rf "$apt"
