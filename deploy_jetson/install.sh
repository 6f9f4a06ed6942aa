#!/usr/bin/env bash
# Installs OmniLive Edge as a system service, or removes it. Running it again changes nothing that
# is in place and keeps configuration, token, certificates and state.
set -euo pipefail

usage() {
    cat <<'EOF'
Usage: install.sh [--device CLASS] [--tls [--name HOST]...] [--wheelhouse DIR] [--python PYTHON]
                  [--prefix DIR] [--root DIR]
       install.sh --uninstall [--purge] [--prefix DIR] [--root DIR]

For JetPack 6 (Ubuntu 22.04), JetPack 7 (Ubuntu 24.04), and Debian 12 or these Ubuntus on x86.

  --device CLASS    configuration to begin with, a name in configs/; default: what this machine is
  --tls             speak HTTPS with a certificate of a CA made here: phones need it for microphone
  --name HOST       further name or address the certificate is for (default: this host's own)
  --wheelhouse DIR  install from the wheels in DIR and fetch nothing
  --python PYTHON   Python 3.10 to 3.12 to use; default: python3
  --prefix DIR      where the program goes; default: /opt/omnilive
  --root DIR        install below DIR and leave this machine's users and services alone
  --uninstall       remove the program and the unit; --purge: also configuration, state and user
EOF
}

die() {
    echo "install.sh: $1" >&2
    [ $# -lt 2 ] || echo "  -> $2" >&2
    exit 1
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
device='' tls='' wheelhouse='' python=python3 prefix=/opt/omnilive root='' uninstall='' purge=''
names=()
while [ $# -gt 0 ]; do
    case $1 in
    --device | --name | --wheelhouse | --python | --prefix | --root)
        [ $# -ge 2 ] || die "$1 needs a value" "install.sh --help"
        case $1 in
        --device) device=$2 ;;
        --name)
            [[ $2 =~ ^[A-Za-z0-9.:-]+$ ]] || die "--name is $2" "Give a host name or an address."
            names+=("$2")
            ;;
        --wheelhouse) wheelhouse=$2 ;;
        --python) python=$2 ;;
        --prefix) prefix=$2 ;;
        --root) root=$2 ;;
        esac
        shift 2
        ;;
    --tls) tls=yes && shift ;;
    --uninstall) uninstall=yes && shift ;;
    --purge) purge=yes && shift ;;
    -h | --help) usage && exit 0 ;;
    *) die "does not know $1" "install.sh --help" ;;
    esac
done
case $prefix in
/?*) ;;
*) die "--prefix is $prefix" "Name an absolute folder of its own." ;;
esac
[[ $prefix =~ ^[A-Za-z0-9/._-]+$ ]] || die "--prefix is $prefix" "Use letters, digits and /._- only."
[ -z "$purge" ] || [ -n "$uninstall" ] || die "--purge goes with --uninstall"
root=${root%/}
if [ -n "$root" ]; then
    mkdir -p "$root"
    root=$(cd "$root" && pwd)
elif [ "$(id -u)" != 0 ]; then
    die "changes system folders and needs root" "sudo $0, or --root DIR to try it out"
fi

program=$root$prefix
venv=$program/venv
settings=$root/etc/omnilive
state=$root/var/lib/omnilive
unit=$root/etc/systemd/system/omnilive.service

# On this machine itself, and not below --root.
on_machine() {
    [ -n "$root" ] || "$@"
}

# systemd is installed here, be it running or, where an image is made, not yet.
has_systemd() {
    [ -z "$root" ] && command -v systemctl >/dev/null
}

systemd_runs() {
    has_systemd && [ -d /run/systemd/system ]
}

if [ -n "$uninstall" ]; then
    if has_systemd && [ -e "$unit" ]; then
        if systemd_runs; then systemctl stop omnilive.service; fi
        systemctl --quiet disable omnilive.service
    fi
    rm -f "$unit"
    rm -rf "$venv" "$program/share"
    rmdir "$program" 2>/dev/null || true # others may have put something there
    if [ -n "$purge" ]; then
        rm -rf "$settings" "$state"
        if [ -z "$root" ] && id omnilive >/dev/null 2>&1; then
            userdel omnilive
        fi
    fi
    if systemd_runs; then
        systemctl daemon-reload
    fi
    kept=" Kept: $settings and $state (--purge removes them)."
    echo "omnilive is removed.${purge:+ So are its configuration and state.}$([ -n "$purge" ] || echo "$kept")"
    exit 0
fi

command -v openssl >/dev/null || die "needs openssl" "apt-get install openssl"
version=$("$python" -c 'import sys; print("%d%d" % sys.version_info[:2])' 2>/dev/null) ||
    die "cannot run $python" "apt-get install python3 python3-venv"
case $version in
310 | 311 | 312) ;;
*) die "needs Python 3.10, 3.11 or 3.12; $python is ${version/3/3.}" "--python /path/to/python3.12" ;;
esac
"$python" -c 'import ensurepip, venv' 2>/dev/null ||
    die "$python has no venv" "apt-get install python3-venv"
wheels=()
if [ -n "$wheelhouse" ]; then
    [ -d "$wheelhouse" ] || die "finds no folder $wheelhouse" "--wheelhouse DIR"
    wheelhouse=$(cd "$wheelhouse" && pwd)
    for wheel in "$wheelhouse"/omnilive_edge-*.whl; do
        [ ! -f "$wheel" ] || wheels+=("$wheel")
    done
    [ ${#wheels[@]} -gt 0 ] || die "finds no wheel of omnilive-edge in $wheelhouse" \
        "pip wheel --wheel-dir $wheelhouse '.[serve]' where there is a network (README.md)"
fi

# Prints the class of this machine: a name in configs/.
this_device() {
    local model='' gib
    [ ! -r /proc/device-tree/model ] || model=$(tr -d '\0' </proc/device-tree/model)
    gib=$(awk '/^MemTotal/ { print int($2 / 1048576) }' /proc/meminfo)
    case $model in
    *Thor*) echo thor ;;
    *AGX*Orin*) if [ "$gib" -gt 40 ]; then echo agx-orin-64gb; else echo agx-orin-32gb; fi ;;
    *Orin*NX*) echo orin-nx-16gb ;;
    *Orin*) echo orin-nano-8gb ;;
    *) if [ -e /dev/nvidia0 ]; then echo server-gpu; else echo server-cpu; fi ;;
    esac
}

device=${device:-$(this_device)}
[ -f "$here/configs/$device.toml" ] ||
    die "has no configuration for $device" "--device is one of: $(basename -s .toml "$here"/configs/*.toml | xargs)"

if [ -z "$root" ] && ! id omnilive >/dev/null 2>&1; then
    useradd --system --user-group --home-dir /var/lib/omnilive --shell /usr/sbin/nologin omnilive
fi
for group in audio video render; do
    if [ -z "$root" ] && getent group "$group" >/dev/null; then
        usermod --append --groups "$group" omnilive
    fi
done

free_space() {
    echo "1G should be free in $program, there is $(df -h --output=avail "$program" | tail -n 1 | xargs)"
}

# JetPack's TensorRT is a system package of Python's: the environment sees those.
# One that was cut short has no pip; one of a Python that the system no longer has does not run.
"$venv/bin/python" -m pip --version >/dev/null 2>&1 ||
    "$python" -m venv --clear --system-site-packages "$venv" ||
    die "could not make $venv" "Mend what stands above and run this again; $(free_space)."

# Installs with pip, whose own words say what went wrong.
pip_install() {
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@" ||
        die "could not install the program; pip says why above" \
            "Mend that and run this again; $(free_space).${wheelhouse:+ Wheels must be for this Python and machine.}"
}

install -d "$program/share"
if [ -n "$wheelhouse" ]; then
    offline=(--no-index --find-links "$wheelhouse")
    pip_install "${offline[@]}" --upgrade 'omnilive-edge[serve]'
    # To pip a wheel of the same version is the same wheel.
    installed=$program/share/wheels.sha256
    sums=$(cd "$wheelhouse" && sha256sum "${wheels[@]##*/}")
    if [ "$(cat "$installed" 2>/dev/null)" != "$sums" ]; then
        pip_install "${offline[@]}" --force-reinstall --no-deps omnilive-edge
        echo "$sums" >"$installed"
    fi
else
    pip_install --constraint "$here/../constraints/py$version.txt" "$here/..[serve]"
    rm -f "$program/share/wheels.sha256"
fi

install -d "$state" "$settings" "$(dirname "$unit")"
install -m 644 "$here/README.md" "$program/share/README.md"
sed "s|/opt/omnilive|$prefix|g" "$here/omnilive.service" >"$unit.new"
chmod 644 "$unit.new"
mv "$unit.new" "$unit"

config=$settings/omnilive.toml
[ -e "$config" ] || install -m 644 "$here/configs/$device.toml" "$config"
token=$settings/token
[ -e "$token" ] || (umask 077 && openssl rand -hex 24 >"$token")
on_machine chown omnilive:omnilive "$token" "$state"

if [ -n "$tls" ]; then
    "$here/certificates.sh" "$settings/tls" ${names[@]+"${names[@]}"}
    on_machine chown omnilive:omnilive "$settings/tls/server.key"
    ! grep -q '^# tls_' "$config" || sed -i 's|^# \(tls_[a-z]* = \)|\1|' "$config"
fi

if systemd_runs; then
    systemctl daemon-reload
fi
if has_systemd; then
    systemctl --quiet enable omnilive.service
fi

if [ -e "$state/pack/manifest.json" ]; then
    pack="$state/pack, then: systemctl restart omnilive"
else
    pack="put it into $state/pack (docs: engines/README.md), then: systemctl start omnilive"
fi
scheme=http
if grep -q '^tls_certificate = ' "$config"; then scheme=https; fi
address=$(hostname -I 2>/dev/null | awk '{ print $1 }') || address=
port=$(sed -n 's/^port = \([0-9]*\).*/\1/p' "$config")
url=$scheme://${address:-$(hostname)}:${port:-8080}/
cat <<EOF
omnilive is installed in $program for $device.
  configuration  $config
  token          $token
  engine pack    $pack
  page           $url
EOF
if [ "$scheme" = https ]; then
    echo "  on a phone     install $settings/tls/ca.pem as a CA certificate first"
fi
if [ -x "$venv/bin/segno" ]; then
    "$venv/bin/segno" --compact "$url"
fi
