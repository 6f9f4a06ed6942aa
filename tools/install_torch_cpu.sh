#!/bin/sh
# Installs the pinned CPU build of torch, the judge of `--verify` and of the tests.
# It never takes the CUDA build: the constraints file admits the "+cpu" version only.
# Usage: install_torch_cpu.sh PYTHON CONSTRAINTS
set -eu

python=$1
constraints=$2
index=${TORCH_CPU_INDEX:-https://download.pytorch.org/whl/cpu}
log=$(mktemp)
trap 'rm -f "$log"' EXIT

install() {
    "$python" -m pip install -qq --disable-pip-version-check \
        --constraint "$constraints" "$@" torch
}

# PyPI has no "+cpu" versions, so without a mirror that does the first try ends at once.
install >"$log" 2>&1 && exit 0
install --extra-index-url "$index" && exit 0
{
    echo "The CPU build of torch named in $constraints could not be installed."
    echo "First try, from pip's own indexes:"
    tail -n 3 "$log"
    echo "Name an index that has it:  make TORCH_CPU_INDEX=https://... test"
} >&2
exit 1
