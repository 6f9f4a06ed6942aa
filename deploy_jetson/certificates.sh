#!/usr/bin/env bash
# Makes a CA of this machine's own and, by it, the certificate that the live service speaks HTTPS
# with. install.sh calls it; by hand it serves a service that was not installed.
set -euo pipefail

usage() {
    cat <<'EOF'
Usage: certificates.sh DIR [NAME]...

Into DIR: ca.pem, which a phone installs; ca.key, which nobody else gets; server.pem and server.key,
for tls_certificate and tls_key. The certificate is for this host's names and addresses, and each
NAME. Again, it is made anew when those have changed or it ends within a month; the CA stays.
EOF
}

die() {
    echo "certificates.sh: $1" >&2
    [ $# -lt 2 ] || echo "  -> $2" >&2
    exit 1
}

case ${1:-} in
-h | --help) usage && exit 0 ;;
'' | -*) die "needs a folder" "certificates.sh --help" ;;
esac
command -v openssl >/dev/null || die "needs openssl" "apt-get install openssl"
folder=$1
shift

# Prints the names, as openssl writes them, of the certificate: this host's, its addresses, and "$@".
subject_names() {
    local name seen=
    for name in "$(hostname)" "$(hostname).local" localhost 127.0.0.1 \
        $(hostname -I 2>/dev/null || true) "$@"; do
        [[ $name =~ ^[A-Za-z0-9.:-]+$ ]] || die "$name is no name" "Give a host name or an address."
        case ",$seen," in
        *":$name,"*) continue ;;
        esac
        case $name in
        *:*) seen+=${seen:+,}IP:$name ;;
        *[!0-9.]*) seen+=${seen:+,}DNS:$name ;;
        *) seen+=${seen:+,}IP:$name ;;
        esac
    done
    echo "$seen"
}

# Makes the certificate for the names in $1, and the CA where there is none.
make_certificates() {
    (
        cd "$folder"
        umask 077
        exec 2>openssl.log
        trap 'cat openssl.log >&3' ERR
        if [ ! -e ca.pem ]; then
            openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 \
                -subj "/CN=OmniLive local CA" -keyout ca.key -out ca.pem \
                -addext "keyUsage=critical,keyCertSign,cRLSign"
        fi
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=omnilive" \
            -keyout server.key.new -out server.csr
        # Phones accept no longer life than 825 days.
        printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth\nbasicConstraints=CA:FALSE\n' "$1" \
            >server.ext
        openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -days 820 -extfile server.ext \
            -set_serial "0x$(openssl rand -hex 15)" -out server.pem.new
        chmod 644 ca.pem server.pem.new
        # Never a key beside the certificate of another one, should this be cut short.
        rm -f server.pem
        mv server.key.new server.key
        mv server.pem.new server.pem
        rm server.csr server.ext openssl.log
    ) 3>&2
}

install -d "$folder"
wanted=$(subject_names "$@")
if ! [ "$(cat "$folder/names" 2>/dev/null)" = "$wanted" ] ||
    ! openssl x509 -checkend 2592000 -noout -in "$folder/server.pem" >/dev/null 2>&1; then
    make_certificates "$wanted"
    echo "$wanted" >"$folder/names"
fi
