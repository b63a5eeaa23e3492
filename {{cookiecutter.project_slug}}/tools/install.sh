#!/bin/sh
# Makes .venv from requirements/dev.txt: with uv where it is installed, else with pip. Repeatable.
set -eu

started=$(date +%s)
fail() {
  printf 'error: %s\n' "$1" >&2
  exit 1
}

find_python() {
  for candidate in "${PYTHON:-}" python3.14 python3.13 python3.12 python3.11 python3; do
    [ -n "$candidate" ] || continue
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
      printf '%s' "$candidate"
      return
    fi
  done
}

unset VIRTUAL_ENV PYTHONHOME PYTHONPATH
python=$(find_python)
[ -n "$python" ] || fail "Python 3.11 or newer is needed; set PYTHON to one, as in: make init PYTHON=/path/to/python3"

printf '  [0/5] packages         '
if command -v uv >/dev/null 2>&1; then
  [ -x .venv/bin/python ] || UV_PYTHON_DOWNLOADS=never uv venv --quiet --python "$python" .venv
  uv pip install --quiet --compile-bytecode --python .venv/bin/python --require-hashes -r requirements/dev.txt ||
    fail "the packages could not be installed; is there a network, or a mirror in UV_DEFAULT_INDEX?"
else
  if ! [ -x .venv/bin/pip ]; then
    "$python" -m venv .venv >/dev/null 2>&1 ||
      fail "$python cannot make virtual environments; install its venv module (Debian: apt install python3-venv) or uv"
  fi
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt ||
    fail "the packages could not be installed; is there a network, or a mirror in pip's configuration?"
fi
printf ' %5d s  installed from requirements/dev.txt\n' "$(($(date +%s) - started))"
