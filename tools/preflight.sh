#!/bin/sh
# Prints the Python to build with, after checking that this machine has what a build needs.
# It never installs anything: what is missing is named with the one line that installs it.
# Usage: preflight.sh [PYTHON]
set -u

# Names of the Debian packages that $1, an interpreter, lacks; nothing when it is complete.
missing_for_python() {
    "$1" - "$(basename "$1")" <<'EOF'
import importlib.util
import os
import re
import sys
import sysconfig

prefix = sys.argv[1] if re.fullmatch(r"python3(\.\d+)?", sys.argv[1]) else "python3"
if any(importlib.util.find_spec(name) is None for name in ("venv", "ensurepip")):
    print(prefix + "-venv")
if not os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h")):
    print(prefix + "-dev")
EOF
}

has_compiler() {
    for compiler in ${CXX:-c++ g++ clang++}; do
        printf '#include <span>\nint main() { return std::span<const int>().empty() ? 0 : 1; }\n' |
            "$compiler" -std=c++20 -x c++ -fsyntax-only - >/dev/null 2>&1 && return 0
    done
    return 1
}

found=
missing=
others=
for candidate in ${1:-python3 python3.12 python3.11 python3.10 python}; do
    version=$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) ||
        continue
    case $version in
    3.10 | 3.11 | 3.12) ;;
    *)
        others="$others $candidate=$version"
        continue
        ;;
    esac
    lacks=$(missing_for_python "$candidate")
    # The first one in range is reported on, unless a later one is complete.
    if [ -z "$found" ] || [ -z "$lacks" ]; then
        found=$candidate
        missing=$lacks
    fi
    [ -n "$lacks" ] || break
done

if [ -z "$found" ]; then
    {
        echo "omnilive-edge needs Python 3.10, 3.11 or 3.12; found:${others:- none}."
        echo "Install one, or name it:  make PYTHON=/path/to/python3.12 ..."
        echo "On Debian 12, Ubuntu 22.04 or 24.04:  sudo apt install python3 python3-venv python3-dev"
    } >&2
    exit 1
fi
has_compiler || missing="$missing g++"
command -v make >/dev/null 2>&1 || missing="$missing make"
missing=$(echo $missing)
if [ -n "$missing" ]; then
    {
        echo "Setting up omnilive-edge with $found needs what this machine lacks: $missing."
        echo "On Debian or Ubuntu:  sudo apt install $missing"
    } >&2
    exit 1
fi
command -v "$found"
