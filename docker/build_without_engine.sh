#!/usr/bin/env bash
# Builds the image of serve.Dockerfile and runs it where there is no Docker engine and no registry: the base comes from
# debootstrap, buildah builds, podman runs. Needs root on Debian or Ubuntu with Python 3.11 or newer.
#
#   docker/build_without_engine.sh [--work FOLDER] [DATA]
#
# DATA is a folder with export/ and scans/, as `plankton demo` makes it; then its scans are predicted in the container.
# FOLDER keeps the base and the layers, so that a second call is quick; without it all is deleted at the end.
set -euo pipefail

usage() { sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0"; }
fail() {
  printf '%s\n' "$@" >&2
  exit 2
}
say() { printf '[%4d s] %s\n' "$SECONDS" "$*"; }

work="" data=""
while (($#)); do
  case $1 in
    --work) work=${2:?"--work needs a folder"} && shift ;;
    -h | --help) usage && exit ;;
    -*) fail "Unknown option $1" "$(usage)" ;;
    *) data=$1 ;;
  esac
  shift
done
missing=()
for tool in buildah debootstrap podman runc; do command -v "$tool" > /dev/null || missing+=("$tool"); done
((${#missing[@]} == 0)) || fail "Missing: ${missing[*]}" "Fix: apt-get install --no-install-recommends ${missing[*]}"
((EUID == 0)) || fail "debootstrap needs root." "Fix: run this as root, or use docker build."
if [[ -n $data ]]; then
  [[ -d $data/export && -d $data/scans ]] || fail "$data lacks export/ or scans/." "Fix: plankton demo $data"
  data=$(realpath "$data")
fi

root=$(realpath "$(dirname "$0")/..")
temporary=""
if [[ -z $work ]]; then
  temporary=$(mktemp -d)
  work=$temporary
fi
mkdir -p "$work"
work=$(realpath "$work")
# The overlay driver, since vfs would copy the whole image for every layer.
storage=(--storage-driver overlay --root "$work/storage" --runroot "$work/run")
build() { buildah "${storage[@]}" "$@"; }
clean() {
  [[ -n $temporary ]] || return 0
  build rm --all > /dev/null 2>&1 || true
  build rmi --all --force > /dev/null 2>&1 || true
  umount "$work/storage/overlay" 2> /dev/null || true
  rm -rf --one-file-system "$temporary"
}
trap clean EXIT
trap 'printf "Stopped at line %s of %s\n" "$LINENO" "$0" >&2' ERR
say "working in $work"

# --- the base: what the Dockerfile calls python:3.11-slim -----------------------------------------------------------
base=docker.io/library/python:3.11-slim
if build inspect --type image "$base" > /dev/null 2>&1; then
  say "the base is there already"
else
  # Either form of a sources file may be missing, which is no reason to stop.
  mirror=$({ cat /etc/apt/sources.list.d/*.sources /etc/apt/sources.list 2> /dev/null || true; } |
    awk '!found && $1 == "URIs:" {found = $2}
         !found && $1 == "deb" {for (i = 2; i <= NF; i++) if (!found && $i ~ /:\/\//) found = $i}
         END {print found}')
  [[ -n $mirror ]] || fail "No mirror in /etc/apt."
  release=$(. /etc/os-release && echo "$VERSION_CODENAME")
  say "debootstrap $release"
  rm -rf --one-file-system "$work/base"
  debootstrap --variant=minbase --include=python3,python3-venv,python3-pip,ca-certificates \
    "$release" "$work/base" "$mirror" > "$work/debootstrap.log" 2>&1 ||
    fail "debootstrap failed:" "$(tail -n 5 "$work/debootstrap.log")"
  # Debian calls it python3; the official image, python. The empty file is where the builder's pip settings appear.
  ln -sf python3 "$work/base/usr/bin/python"
  touch "$work/base/etc/pip.conf"
  rm -rf "$work"/base/var/cache/apt/archives/*.deb "$work"/base/var/lib/apt/lists/*
  container=$(build from scratch)
  build add -q "$container" "$work/base" / > /dev/null
  build config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
  build commit -q "$container" "$base" > /dev/null
  build rm "$container" > /dev/null
  rm -rf --one-file-system "$work/base"
fi

# --- pip's settings: as on this machine, read from outside while building, in no layer ------------------------------
# Writes pip.conf, then prints each file or folder that it names.
python3 - "$work/pip.conf" > "$work/mounts" << 'PYTHON'
import ast, os, subprocess, sys
from pathlib import Path
from urllib.parse import urlparse

listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
settings = {}
for line in listed.stdout.splitlines():
    name, _, value = line.partition("=")
    # `:env:` comes last and wins, as it does in pip.
    settings[name.rpartition(".")[2]] = ast.literal_eval(value)
# What Debian's own pip needs outside of a virtual environment is of no use inside.
settings.pop("break-system-packages", None)
certificates = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE")
if certificates:
    settings.setdefault("cert", certificates)
indented = {name: "\n    ".join(str(value).split()) for name, value in settings.items()}
Path(sys.argv[1]).write_text("[global]\n" + "".join(f"{name} = {value}\n" for name, value in indented.items()))
paths = {urlparse(word).path for value in settings.values() for word in str(value).split() if word.startswith(("/", "file:"))}
for path in sorted(paths):
    # An index's links lead out of its folder of names (simple/NAME/ -> ../../files), so the folder above is mounted.
    place = Path(path).parent if Path(path).name == "simple" else Path(path)
    if place.exists():
        print(place)
PYTHON
volumes=(--volume "$work/pip.conf:/etc/pip.conf:ro")
while read -r path; do volumes+=(--volume "$path:$path:ro"); done < "$work/mounts"
say "pip's settings: $(grep -c = "$work/pip.conf" || true) options, mounts: $(tr '\n' ' ' < "$work/mounts")"

# --- the image ------------------------------------------------------------------------------------------------------
image=localhost/plankton-serve
started=$SECONDS
# buildah of Debian 12 does not look for serve.Dockerfile.dockerignore by itself.
build build --isolation chroot --pull=never --layers "${volumes[@]}" \
  --ignorefile "$root/docker/serve.Dockerfile.dockerignore" \
  --tag "$image" --file "$root/docker/serve.Dockerfile" "$root" > "$work/build.log" 2>&1 ||
  fail "The build failed:" "$(tail -n 25 "$work/build.log")"
size=$(build images --json "$image" | python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["size"])')
say "built $image in $((SECONDS - started)) s, $size"

# --- run it: not root, a root that cannot be written to, no network, no capabilities ---------------------------------
# The limits, since podman asks for more than a container itself may give; runc, since crun wants a cgroup of its own.
container() {
  podman --runtime runc "${storage[@]}" run --rm --pull never --network none --read-only --tmpfs /tmp --cap-drop all \
    --security-opt no-new-privileges --ulimit nofile=1024:1024 --ulimit nproc=4096:4096 "$@"
}
container --entrypoint python "$image" -c '
import os
try:
    open("/opt/venv/probe", "w")
except OSError as error:
    refused = error.strerror
print(f"in the container: uid {os.getuid()}, gid {os.getgid()}; writing to /opt/venv: {refused}")
assert os.getuid() == 1000'
say "plankton --help"
container "$image" --help

if [[ -n $data ]]; then
  scans=scans
  [[ ! -d $data/scans/test ]] || scans=scans/test
  out=$work/predictions
  rm -rf --one-file-system "$out"
  install --directory --owner 1000 --group 1000 "$out"
  say "plankton predict export $scans"
  container --volume "$data:/data:ro" --volume "$out:/out" "$image" predict export "$scans" --out /out
  (cd "$out" && find . -type f -printf '%s bytes, uid %U: %P\n' | sort -k 5)
fi
say "done"
