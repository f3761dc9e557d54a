#!/usr/bin/env bash
# Writes requirements/*.txt from pyproject.toml: every version with its hashes, for all platforms, without index addresses. Needs uv.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v uv >/dev/null || { echo "uv is not installed, and it makes the lock files" >&2; echo "Hint: pip install uv" >&2; exit 1; }

lock() { # OUTPUT INPUT... : the arguments after -- go to uv
  local out=$1; shift
  uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate \
    --upgrade --output-file "requirements/$out" "$@"
}
lock run.txt pyproject.toml <(printf "hatchling\neditables\n")
lock cpu.txt --no-deps <(python3 -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["cpu"], sep="\n")')
lock dev.txt --constraint requirements/run.txt <(python3 -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["dev"], sep="\n")')
