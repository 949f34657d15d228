#!/bin/sh
# Resolves requirements/*.in into *.txt with hashes and without addresses. Arguments go to uv: --upgrade, for one.
set -eu
cd "$(dirname "$0")/.."

uv=$(command -v uv) || uv=var/uv/bin/uv
if ! "$uv" --version >/dev/null 2>&1; then
    if ! { .venv/bin/python -m venv --clear var/uv && var/uv/bin/python -m pip install --quiet --quiet uv; } >/dev/null; then
        echo "This needs uv on the PATH." >&2
        exit 1
    fi
fi
for name in requirements/base requirements/telemetry requirements/dev tests/bench/peer/requirements; do
    "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
        --no-header "$@" "$name.in" --output-file "$name.txt"
done
