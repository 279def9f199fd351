#!/bin/bash
# Installs the optional system parts that tests use: mosquitto, chromium, TimescaleDB. Debian, root.
set -euo pipefail

root=${PILEWATCH_TIMESCALE_ROOT:-/opt/pilewatch-trixie}

if [ "$(id -u)" != 0 ]; then
    echo "make parts installs Debian packages and so needs root" >&2
    exit 1
fi

missing=()
for package in mosquitto chromium fonts-noto-cjk debootstrap python3-venv; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
    echo "installing ${missing[*]} …"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

if [ ! -e "$root/ready" ]; then
    echo "installing TimescaleDB in $root (about 700 MB) …"
    rm -rf "$root"
    debootstrap --variant=minbase --include=postgresql-17-timescaledb trixie "$root" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"} >"/tmp/pilewatch-debootstrap.log" 2>&1 || {
        tail -20 /tmp/pilewatch-debootstrap.log >&2
        exit 1
    }
    touch "$root/ready"
fi
echo "all parts are there"
