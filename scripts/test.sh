#!/usr/bin/env bash
# `make test`: what needs nothing but this checkout, three files at a time, since many wait for a server or a child; then, alone, what is
# marked `quiet`. Arguments go to pytest. Fails if either part does, and if neither has a test.
set -uo pipefail
cd "$(dirname "$0")/.."
here="not engines and not machines and not docker and not airgap"
nothing=5 # pytest's exit code when no test was chosen
tests() { .venv/bin/python -m pytest "$@"; }

tests -m "$here and not quiet" -n 3 --dist loadfile --no-loadscope-reorder "$@"; beside=$?
case $beside in 0 | 1 | "$nothing") ;; *) exit "$beside" ;; esac # Ctrl-C, or a wrong argument
tests -m "$here and quiet" "$@"; alone=$?
[ "$alone" != "$nothing" ] || exit "$beside"
[ "$beside" = 0 ] || [ "$beside" = "$nothing" ] || exit "$beside"
exit "$alone"
