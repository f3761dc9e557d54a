#!/usr/bin/env bash
# `make test`: what needs nothing but this checkout, three files at a time, since many wait for a server or a child; then what is marked
# `quiet`, two at a time: together they take a third of two cores. Arguments go to pytest. Fails if either part does, and if neither has
# a test.
set -uo pipefail
cd "$(dirname "$0")/.."
nothing=5 # pytest's exit code when no test was chosen

part() { # WORKERS MARK ARGUMENT...
  .venv/bin/python -m pytest -n "$1" --dist loadfile --no-loadscope-reorder \
    -m "not engines and not machines and not docker and not airgap and not browser and not postgresql and $2" "${@:3}"
}

part 3 "not quiet" "$@"; first=$?
case $first in 0 | 1 | "$nothing") ;; *) exit "$first" ;; esac # Ctrl-C, or a wrong argument
part 2 quiet "$@"; second=$?
[ "$second" != "$nothing" ] || exit "$first"
[ "$first" = 0 ] || [ "$first" = "$nothing" ] || exit "$first"
exit "$second"
