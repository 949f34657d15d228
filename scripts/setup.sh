#!/bin/sh
# scripts/setup.sh PYTHON VENV REQUIREMENTS: makes the virtual environment if there is none, and installs into it.
set -eu
python=$1 venv=$2 requirements=$3

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    found=$("$python" --version 2>&1) || found="not installed"
    echo "This project needs Python 3.11 or newer; $python is: $found." >&2
    echo "Name another one with, for example: make setup PYTHON=python3.13" >&2
    exit 1
fi

install="$venv/bin/python -m pip"
if ! "$venv/bin/python" -c 'import pip' 2>/dev/null; then
    if "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        "$python" -m venv --clear "$venv"
    elif "$python" -c 'import pip, venv' 2>/dev/null; then
        # Debian's python3-venv is missing, but its pip can install into an environment without one.
        [ -x "$venv/bin/python" ] || "$python" -m venv --without-pip "$venv"
        install="$python -m pip --python $venv/bin/python"
    elif [ "${CI:-}" = true ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends python3-venv
        "$python" -m venv --clear "$venv"
    else
        echo "$python has neither venv nor pip. On Debian or Ubuntu: sudo apt-get install python3-venv" >&2
        exit 1
    fi
fi

echo "Installing $requirements into $venv (a minute or two the first time) ..."
# shellcheck disable=SC2086
$install install --quiet --quiet --disable-pip-version-check --no-input --require-hashes -r "$requirements"
