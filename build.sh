#!/usr/bin/env bash
# The one build: the three programs that are shipped, in target/dist, and their debug files. Demo, tests and benches use only these.
#
# What building needs is installed first, with apt, if we are root. `build.sh install` does only that, with sudo if need be.
set -euo pipefail
cd "$(dirname "$(realpath "$0")")"

# SQLite, the cryptography of TLS and librdkafka are built from source. librdkafka takes OpenSSL and zlib of the system.
install_missing() {
    local packages=() tool
    for tool in cc:build-essential c++:g++ make:make pkg-config:pkg-config; do
        command -v "${tool%%:*}" >/dev/null 2>&1 || packages+=("${tool#*:}")
    done
    [[ -e /usr/include/openssl/ssl.h ]] || packages+=(libssl-dev)
    [[ -e /usr/include/zlib.h ]] || packages+=(zlib1g-dev)
    if ((${#packages[@]} == 0)); then return; fi
    local sudo=()
    if ((EUID != 0)); then sudo=(sudo); fi
    if { ((EUID == 0)) || [[ $1 == install ]]; } && command -v apt-get >/dev/null 2>&1; then
        "${sudo[@]}" apt-get update -qq
        "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}"
    else
        echo "build.sh: missing, and not installed: ${packages[*]}" >&2
    fi
}

install_missing "${1:-}"
if [[ ${1:-} == install ]]; then exit 0; fi

target=${CARGO_TARGET_DIR:-target}
host=$(rustc -vV | sed -n 's/^host: //p')

# What `/version` says was built; nothing where this is no checkout.
commit=$(git rev-parse --short=12 HEAD 2>/dev/null || true)
if [[ -n $commit ]]; then export HEADWORKS_COMMIT=$commit; fi

# hwbench measures what is built here and is built by whoever measures.
cargo build --release --locked --workspace --bins --exclude mailhandler --exclude hwbench
# mailhandler is linked statically: what Postfix runs must not depend on a library that is being upgraded. Flags cannot
# differ by package in one build, and naming the target keeps them away from build scripts.
# A panic there must reach Postfix as a signal (deferred), never as exit 101 (bounced).
RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=+crt-static" CARGO_PROFILE_RELEASE_PANIC=abort \
    cargo build --release --locked -p mailhandler --bin mailhandler --target "$host"

# Shipped without debug information, which stands beside it in `.debug`, where gdb and Rust's backtraces look.
mkdir -p "$target/dist/.debug"
for program in "$target/release/headworks" "$target/release/headworks-modules" "$target/$host/release/mailhandler"; do
    name=${program##*/}
    debug=$target/dist/.debug/$name.debug
    objcopy --only-keep-debug "$program" "$debug"
    objcopy --strip-debug --add-gnu-debuglink="$debug" "$program" "$target/dist/$name.new"
    chmod 755 "$target/dist/$name.new"
    mv "$target/dist/$name.new" "$target/dist/$name"
done
