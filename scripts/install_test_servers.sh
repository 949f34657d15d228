#!/bin/sh
# Installs what the tests run against, when that is missing and this is root on a Debian system; otherwise says what
# to install. Nothing it installs is left running.
set -eu
cd "$(dirname "$0")/.."

missing=$("${PYTHON:-python3}" -m tests.rig.programs)
[ -n "$missing" ] || exit 0
# shellcheck disable=SC2086
set -- $missing

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "The tests need programs that are not installed: $*" >&2
    echo "On Debian or Ubuntu: sudo apt-get install --no-install-recommends $*" >&2
    exit 1
fi

echo "Installing for the tests: $*"
# Debian's way to say that packages must not start their services.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
if ! { apt-get update -q && apt-get install -qy --no-install-recommends "$@"; } >"$log" 2>&1; then
    cat "$log" >&2
    exit 1
fi
rm -f "$log"

still_missing=$("${PYTHON:-python3}" -m tests.rig.programs)
if [ -n "$still_missing" ]; then
    echo "Installed, but still not found:" $still_missing >&2
    exit 1
fi
