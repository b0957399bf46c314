#!/usr/bin/env bash
# See headworks work, from nothing: installs what building needs, builds, and runs `headworks demo` with the given
# arguments (`--once` stops after the tables).
#
# Environment:
#   HEADWORKS_DIST    a directory with the three programs, to be used instead of building them
#   KAFKA_BOOTSTRAP   a Kafka that the rows are copied to as well, host:port; if unset, one that listens on port 9092 here
set -euo pipefail
cd "$(dirname "$(realpath "$0")")"

dist=${HEADWORKS_DIST:-}
if [[ -z $dist ]]; then
    if ! command -v cargo >/dev/null 2>&1; then
        echo 'demo.sh: cargo is missing: install Rust with rustup (https://rustup.rs)' >&2
        exit 1
    fi
    ./build.sh install
    ./build.sh
    dist=${CARGO_TARGET_DIR:-target}/dist
fi

if [[ -z ${KAFKA_BOOTSTRAP+set} ]] && (: <>/dev/tcp/127.0.0.1/9092) 2>/dev/null; then
    KAFKA_BOOTSTRAP=127.0.0.1:9092
fi
kafka=()
if [[ -n ${KAFKA_BOOTSTRAP:-} ]]; then kafka=(--kafka "$KAFKA_BOOTSTRAP"); fi
exec "$dist/headworks" demo "${kafka[@]}" "$@"
