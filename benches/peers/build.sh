#!/usr/bin/env bash
# Builds the peers that `hwbench job-core` measures the job table against, into target/peers. Not part of any other build.
# A peer that cannot be built is named and left out; the bench then says so in its line.
#
# Needs: cargo, and for graphile-worker node 20 and npm.
set -uo pipefail
here=$(dirname "$(realpath "$0")")
peers=$(realpath -m "${CARGO_TARGET_DIR:-$here/../../target}")/peers
cd "$here" || exit 1
missing=()

for peer in graphile-worker-rs apalis awa; do
    cargo build --release --locked --target-dir "$peers" -p "peer-$peer" || missing+=("$peer")
done

# npm puts its modules beside the manifest, so the manifest goes where they may lie.
node_peer() {
    mkdir -p "$peers/graphile-worker" &&
        cp graphile-worker/{main.js,package.json,package-lock.json} "$peers/graphile-worker/" &&
        npm ci --prefix "$peers/graphile-worker" --no-audit --no-fund --ignore-scripts
}
node_peer || missing+=(graphile-worker)

if ((${#missing[@]} > 0)); then
    echo "not built: ${missing[*]}" >&2
    exit 1
fi
