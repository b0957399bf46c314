#!/usr/bin/env bash
# Builds the peers that `hwbench job-core` measures the job table against, into target/peers. Not part of any other build.
# A peer that cannot be built is named and left out; the bench then says so in its line.
#
# Needs: cargo, and for graphile-worker node 20 and npm.
set -uo pipefail
here=$(dirname "$(realpath "$0")")
peers=$(realpath -m "${CARGO_TARGET_DIR:-$here/../../target}")/peers
cd "$here" || exit 1
# What an older build left must not pass for what this one made.
rm -f "$peers"/release/peer-*
cargo build --release --locked --keep-going --target-dir "$peers"

# npm puts its modules beside the manifest, so the manifest goes where they may lie.
node_peer() {
    mkdir -p "$peers/graphile-worker" &&
        cp graphile-worker/{main.js,package.json,package-lock.json} "$peers/graphile-worker/" &&
        npm ci --prefix "$peers/graphile-worker" --no-audit --no-fund --ignore-scripts
}
rm -rf "$peers/graphile-worker"
node_peer || rm -rf "$peers/graphile-worker"

missing=0
for built in release/peer-{graphile-worker-rs,apalis,awa} graphile-worker/main.js; do
    [[ -e $peers/$built ]] || { echo "not built: $built" >&2; missing=1; }
done
exit "$missing"
