#!/bin/sh
# usage: install.sh [FOLDER [REQUIREMENTS]]
# Makes a virtual environment (.venv) from a hashed lock (requirements/dev.txt): with uv where it is installed,
# else with pip. Repeatable: what is there stays, what was cut short is completed.
set -eu

folder=${1:-.venv}
requirements=${2:-requirements/dev.txt}
started=$(date +%s)
fail() {
  printf '\nerror: %s\n' "$1" >&2
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

# False too when the Python that it was made from is gone.
works() {
  "$folder/bin/python" -c "import ${1:-sys}" >/dev/null 2>&1
}

unset VIRTUAL_ENV PYTHONHOME PYTHONPATH
python=$(find_python)
[ -n "$python" ] || fail "Python 3.11 or newer is needed; name one, as in: make PYTHON=/path/to/python3"

printf '  packages               '
if command -v uv >/dev/null 2>&1; then
  works || UV_PYTHON_DOWNLOADS=never uv venv --quiet --clear --python "$python" "$folder"
  uv pip install --quiet --compile-bytecode --python "$folder/bin/python" --require-hashes -r "$requirements" ||
    fail "the packages could not be installed; is there a network, or a mirror in UV_DEFAULT_INDEX?"
else
  works pip || "$python" -m venv --clear "$folder" >/dev/null 2>&1 ||
    fail "$python cannot make virtual environments; install its venv module (Debian: apt install python3-venv) or uv"
  "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$requirements" ||
    fail "the packages could not be installed; is there a network, or a mirror in pip's configuration?"
fi
printf '%5d s  installed from %s\n' "$(($(date +%s) - started))" "$requirements"
