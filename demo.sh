#!/usr/bin/env bash
# See headworks work, from nothing: installs what building needs, builds, and runs `headworks demo` with the given
# arguments (`--once` stops after the tables).
#
# Environment:
#   HEADWORKS_DIST   a directory with the three programs, to be used instead of building them
set -euo pipefail
cd "$(dirname "$(realpath "$0")")"

# A C compiler and linker: SQLite and the cryptography of TLS are built from source.
install_missing() {
    if command -v cc >/dev/null 2>&1; then
        return
    fi
    local sudo=()
    if ((EUID != 0)); then
        sudo=(sudo)
    fi
    "${sudo[@]}" apt-get update -qq
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends build-essential
}

dist=${HEADWORKS_DIST:-}
if [[ -z $dist ]]; then
    if ! command -v cargo >/dev/null 2>&1; then
        echo 'demo.sh: cargo is missing: install Rust with rustup (https://rustup.rs)' >&2
        exit 1
    fi
    install_missing
    ./build.sh
    dist=${CARGO_TARGET_DIR:-target}/dist
fi
exec "$dist/headworks" demo "$@"
