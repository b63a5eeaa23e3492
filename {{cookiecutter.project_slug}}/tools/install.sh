#!/bin/sh
# usage: install.sh [FOLDER [REQUIREMENTS]]
# Makes a virtual environment (.venv) from a hashed lock (requirements/dev.txt): with uv where it is installed,
# with pip where it is not or cannot. Repeatable: what is there stays, what was cut short is completed.
set -eu

folder=${1:-.venv}
requirements=${2:-requirements/dev.txt}
started=$(date +%s)
fail() {
  printf '\nerror: %s\n' "$1" >&2
  exit 1
}

usable() {
  "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
  for candidate in python3.14 python3.13 python3.12 python3.11 python3; do
    if usable "$candidate"; then
      printf '%s' "$candidate"
      return
    fi
  done
}

# False too when the Python that it was made from is gone.
works() {
  "$folder/bin/python" -c "import ${1:-sys}" >/dev/null 2>&1
}

with_uv() {
  export UV_PYTHON_DOWNLOADS=never UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-true}"
  cache=$(uv cache dir 2>/dev/null)
  { mkdir -p "$cache" && [ -w "$cache" ]; } 2>/dev/null || export UV_NO_CACHE=true
  works || uv venv --quiet --clear --python "$python" "$folder" || return 1
  set -- pip install --quiet --compile-bytecode --python "$folder/bin/python" --require-hashes -r "$requirements"
  # What the cache holds needs no network.
  uv --offline "$@" 2>/dev/null || uv "$@" || {
    printf '\n  uv could not; trying pip\n' >&2
    return 1
  }
}

with_pip() {
  works pip || "$python" -m venv --clear "$folder" >&2 ||
    fail "$python cannot make virtual environments; install its venv module (Debian: apt install python3-venv) or uv"
  "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$requirements"
}

unset VIRTUAL_ENV PYTHONHOME PYTHONPATH
[ $# -le 2 ] || fail "usage: install.sh [FOLDER [REQUIREMENTS]]"
[ -z "${PYTHON:-}" ] || usable "$PYTHON" || fail "PYTHON=$PYTHON is no Python 3.11 or newer"
python=${PYTHON:-$(find_python)}
[ -n "$python" ] || fail "Python 3.11 or newer is needed; name one, as in: make PYTHON=/path/to/python3"
# Only a virtual environment is ever cleared.
[ ! -e "$folder" ] || [ -f "$folder/pyvenv.cfg" ] || rmdir "$folder" 2>/dev/null ||
  fail "$folder is in the way: it is no virtual environment"
{ mkdir -p "$folder" && [ -w "$folder" ]; } 2>/dev/null ||
  fail "$folder cannot be written by $(id -un); is $PWD yours, and the disk writable?"
# One at a time: python locks the file, and the lock lasts as long as this shell holds it open.
exec 9<"$requirements"
"$python" -c 'import fcntl, sys
try:
    fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    print("  another installation runs; waiting for it", file=sys.stderr, flush=True)
    fcntl.flock(9, fcntl.LOCK_EX)'

printf '  packages               '
{ command -v uv >/dev/null 2>&1 && with_uv; } || with_pip ||
  fail "the packages could not be installed; is there a network, or a mirror in UV_DEFAULT_INDEX or pip's configuration?"
printf '%5d s  installed from %s\n' "$(($(date +%s) - started))" "$requirements"
