#!/usr/bin/env bash
# schemathesis.sh URL KEY: holds the OpenAPI document of a running server against its answers.
#
# KEY needs every permission. The server is changed: jobs are cancelled, keys made. Never aim this at one that matters.
#
# Environment:
#   HEADWORKS_SCHEMATHESIS_EXAMPLES   requests per operation at most, default 20
set -euo pipefail

url=${1:?usage: schemathesis.sh URL KEY}
key=${2:?usage: schemathesis.sh URL KEY}
repository=$(dirname "$(realpath "$0")")/..
export PATH="$repository/target/tools/bin:$PATH"

# The tool keeps its notes in the working directory.
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"

# A schema cannot say everything that makes a request right (a registered customer, an indexed column), so that correct
# data is always taken is not among the checks.
schemathesis run "$url/openapi.json" \
    --url "$url" \
    --header "X-Api-Key: $key" \
    --phases examples,coverage,fuzzing \
    --checks not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance,unsupported_method,ignored_auth \
    --max-examples "${HEADWORKS_SCHEMATHESIS_EXAMPLES:-20}" \
    --seed 1 \
    --no-color
