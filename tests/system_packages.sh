#!/bin/sh
# Makes sure that the browser and the fonts of the browser tests are there: Debian's packages when this runs as root,
# else a message that names them. A missing tool fails the tests; it never skips them. Tests with network namespaces need
# root as well as their tools, so these are looked for only then.
set -eu

packages="chromium fonts-noto-cjk fonts-noto-color-emoji"
net_packages="iproute2 nftables miniupnpd-nftables"

missing=""
if [ -z "${CHROMIUM:-}" ] && ! command -v chromium >/dev/null 2>&1; then
    missing="chromium"
fi
if command -v dpkg-query >/dev/null 2>&1; then
    for font in fonts-noto-cjk fonts-noto-color-emoji; do
        if ! dpkg-query --show --showformat '${Status}' "$font" 2>/dev/null | grep -q 'ok installed'; then
            missing="$missing $font"
        fi
    done
fi
if [ "$(id -u)" -eq 0 ]; then
    packages="$packages $net_packages"
    for tool in ip nft miniupnpd; do
        command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"
    done
fi
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "startalk: installing$([ "${missing#chromium}" = "$missing" ] || echo ' ')$missing with apt-get"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    # shellcheck disable=SC2086
    apt-get install -y -qq --no-install-recommends $packages >/dev/null
else
    echo "startalk: the browser tests need these packages: $packages" >&2
    echo "startalk: install them (Debian and Ubuntu: sudo apt-get install $packages)," >&2
    echo "startalk: or name another Chromium with CHROMIUM=/path/to/chromium" >&2
    exit 1
fi
