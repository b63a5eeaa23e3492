"""`keys`: the RS256 keys that sign access tokens."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from app.auth.key_ring import KeyRing, generate_key_pair
from app.core.settings import load_settings

app = typer.Typer(help="The RS256 keys that sign access tokens.", no_args_is_help=True)
console = Console(stderr=True)

Directory = Annotated[Path, typer.Option(envvar="APP_JWT_KEYS_DIR", help="Where the PEM files are.")]
Configured = Annotated[Path | None, typer.Option("--directory", help="By default APP_JWT_KEYS_DIR.")]

DirectoryOrSettings = Annotated[
    Path | None, typer.Option(help="Where the PEM files are; else as configured.")
]


@app.command()
def generate(directory: Directory) -> None:
    """Write `current.pem` (0600) unless there is one; never overwrites."""
    generate_key_pair(directory)
    console.print(f"{directory / 'current.pem'} signs as {KeyRing.load(directory).signing_key.kid}")


@app.command("list")
def list_keys(directory: Configured = None) -> None:
    """The key ids that verify access tokens now."""
    for key in KeyRing.load(directory or load_settings().jwt_keys_dir).jwks()["keys"]:
        typer.echo(key["kid"])
