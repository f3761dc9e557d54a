#!/usr/bin/env bash
# Makes .venv with the locked versions: `setup.sh run` for the harness and its CPU engine, `setup.sh dev` with the test tools too.
# Does nothing when the locks have not changed since.
set -euo pipefail
cd "$(dirname "$0")/.."
want=$1
state=$(cat requirements/*.txt pyproject.toml | sha256sum | cut -c1-16)
[ -e ".venv/.$want-$state" ] && exit 0

fail() { echo "$1" >&2; echo "Hint: $2" >&2; exit 1; }

python=
for name in "${PYTHON:-python3}" python3.13 python3.12 python3.11; do
  if command -v "$name" >/dev/null && "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then python=$name; break; fi
done
[ -n "$python" ] || fail "Python 3.11 or newer was not found" "install it, or name one: make PYTHON=/path/to/python3.12"

files=(-r requirements/run.txt)
[ "$want" = dev ] && files+=(-r requirements/dev.txt)
echo "Setting up .venv (once)" >&2
if command -v uv >/dev/null; then
  [ -x .venv/bin/python ] || uv venv --quiet --python "$python" .venv
  install() { uv pip install --quiet --python .venv/bin/python "$@"; }
else
  [ -x .venv/bin/python ] || "$python" -m venv .venv || fail "python3 -m venv does not work here" "apt install python3-venv, or install uv"
  install() { .venv/bin/python -m pip install --quiet --disable-pip-version-check "$@"; }
fi
rm -f .venv/.run-* .venv/.dev-*  # what is there is no longer what an older stamp says
install --require-hashes "${files[@]}"
install --require-hashes --no-deps -r requirements/cpu.txt
install --no-deps --no-build-isolation -e .
.venv/bin/python -m compileall -q .venv/lib harness || true  # a file that some package ships for another Python may not compile
touch ".venv/.run-$state" ".venv/.$want-$state"  # what is good for the tests is good for a run
