#!/bin/sh
# Checks that this machine can compile for AArch64 and run the result. It never installs anything:
# what is missing is named with the one line that installs it.
set -u

missing=
command -v aarch64-linux-gnu-g++ >/dev/null 2>&1 || missing="g++-aarch64-linux-gnu"
command -v qemu-aarch64-static >/dev/null 2>&1 || missing="$missing qemu-user-static"
missing=$(echo $missing)
if [ -n "$missing" ]; then
    {
        echo "Testing for AArch64 needs what this machine lacks: $missing."
        echo "On Debian or Ubuntu:  sudo apt install $missing"
    } >&2
    exit 1
fi
