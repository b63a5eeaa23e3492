"""`keys`: the RS256 keys that sign access tokens."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from app.auth.key_ring import KeyRing, KeyRingError, bundle, generate_key_pair
from app.core.settings import load_settings

app = typer.Typer(help="The RS256 keys that sign access tokens.", no_args_is_help=True)
console = Console(stderr=True)

Directory = Annotated[Path, typer.Option(envvar="APP_JWT_KEYS_DIR", help="Where the PEM files are.")]
Configured = Annotated[Path | None, typer.Option("--directory", help="By default APP_JWT_KEYS_DIR.")]


@app.command()
def generate(directory: Directory) -> None:
    """Write `current.pem` (0600) unless there is one; never overwrites."""
    generate_key_pair(directory)
    console.print(f"{directory / 'current.pem'} signs as {KeyRing.load(directory).signing_key.kid}")


@app.command("list")
def list_keys(directory: Configured = None) -> None:
    """The key ids that verify access tokens now."""
    ring = KeyRing.load(directory) if directory else KeyRing.from_settings(load_settings())
    for key in ring.jwks()["keys"]:
        typer.echo(key["kid"])


@app.command("bundle")
def write_bundle(directory: Directory) -> None:
    """All files of a folder as one JSON text for APP_JWT_KEYS, into a pipe: it is as secret as they are."""
    if sys.stdout.isatty():
        raise KeyRingError("a terminal would show the private keys; send them into a pipe: docs/deploy.md")
    sys.stdout.write(bundle(directory))
