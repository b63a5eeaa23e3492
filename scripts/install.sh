#!/bin/sh
# usage: install.sh FOLDER REQUIREMENTS   Makes a virtual environment from a hashed lock, with nothing but Python.
set -eu

folder=$1
requirements=$2
fail() {
  printf 'error: %s\n' "$1" >&2
  exit 1
}

unset VIRTUAL_ENV PYTHONHOME PYTHONPATH
python=
for candidate in "${PYTHON:-}" python3.14 python3.13 python3.12 python3.11 python3; do
  [ -n "$candidate" ] || continue
  if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
    python=$candidate
    break
  fi
done
[ -n "$python" ] || fail "Python 3.11 or newer is needed; set PYTHON to one, as in: make demo PYTHON=/path/to/python3"

printf 'Installing the tools into %s … ' "$folder"
started=$(date +%s)
if ! [ -x "$folder/bin/pip" ]; then
  "$python" -m venv "$folder" >/dev/null 2>&1 ||
    fail "$python cannot make virtual environments; install its venv module (Debian: apt install python3-venv)"
fi
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$requirements" ||
  fail "the tools could not be installed; is there a network, or a mirror in pip's configuration?"
printf '%d s\n' "$(($(date +%s) - started))"
