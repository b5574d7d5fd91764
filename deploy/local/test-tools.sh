#!/bin/sh
# Debian packages that the tests need beyond those of `make run`: installed where they are missing.
set -eu
missing=
need() { command -v "$1" >/dev/null 2>&1 || missing="$missing $2"; }
need git git
need curl curl
need openssl openssl
# Faults of the network, the disk and the system (tests/chaos).
need ip iproute2
need nft nftables
need strace strace
# What checks the files of deploy/ (tests/manifests); Go must be 1.24 or newer.
need npm npm
need go golang-go
[ ! -d tests/browser ] || need chromium chromium
[ -n "$missing" ] || exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "The tests need$missing: sudo apt-get install$missing" >&2
    exit 2
fi
echo "Installing$missing"
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
