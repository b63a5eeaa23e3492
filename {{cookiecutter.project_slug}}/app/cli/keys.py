"""`keys`: the RS256 keys that sign access tokens, in a folder or in AWS Secrets Manager."""

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console

from app.auth.key_folder import (
    KeyFiles,
    bundle,
    change_folder,
    generate_key_pair,
    held,
    read_folder,
    unbundled,
)
from app.auth.key_ring import CURRENT, NEXT, KeyRing, KeyRingError, kid_of
from app.auth.rotation import Rotation, Step, due, refuse_interruption, replace_compromised
from app.auth.rotation import rotate as take_step
from app.core.settings import key_files, load_settings

if TYPE_CHECKING:
    from app.auth.key_secret import KeySecret, Version

app = typer.Typer(help="The RS256 keys that sign access tokens.", no_args_is_help=True)
console = Console(stderr=True, soft_wrap=True, highlight=False)

# What each step is, done and coming.
DONE: Final = {
    Step.PREPARE: "prepared: {} is published, and does not sign yet",
    Step.PROMOTE: "promoted: {} signs; of the key before it only the public half is left, which verifies",
    Step.DROP: "dropped: {} verifies no more",
    Step.REPLACE: "replaced: {} sign and verify no more; everybody has to refresh",
}
COMING: Final = {
    Step.PREPARE: "begins the next rotation",
    Step.PROMOTE: "lets the next key sign",
    Step.DROP: "drops the retired key",
}
DEPLOY: Final = "deploy now (docs/keys.md): processes have the old keys until they start anew"

Directory = Annotated[Path, typer.Option(envvar="APP_JWT_KEYS_DIR", help="Where the PEM files are.")]
Configured = Annotated[Path | None, typer.Option("--directory", help="By default APP_JWT_KEYS_DIR.")]
Secret = Annotated[str | None, typer.Option("--secret", help="Instead: name or ARN in AWS Secrets Manager.")]
Compromised = Annotated[
    bool, typer.Option("--compromised", help="A key was stolen: drop it at once, and with it every token.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]


@app.command()
def generate(directory: Directory) -> None:
    """Write `current.pem` (0600) unless there is one; never overwrites."""
    generate_key_pair(directory)
    console.print(f"{directory / CURRENT} signs as {KeyRing.load(directory).signing_key.kid}")


@app.command()
def rotate(
    directory: Configured = None,
    secret: Secret = None,
    now: Annotated[bool, typer.Option("--now", help="Promote before others can know the next key.")] = False,
    compromised: Compromised = False,
    as_json: AsJson = False,
) -> None:
    """Take one step of a rotation: prepare, promote, drop. Too early it changes nothing and says so."""
    if now and compromised:
        raise typer.BadParameter("--compromised waits for nothing, so --now does not go with it")

    def step(files: KeyFiles) -> Rotation:
        moment = datetime.now(UTC)
        return replace_compromised(files, moment) if compromised else take_step(files, moment, wait=not now)

    done = _in_secret(secret, directory, step) if secret else _in_folder(_folder(directory), step)
    _tell(done, in_cloud=bool(secret), as_json=as_json)


@app.command("list")
def list_keys(directory: Configured = None, secret: Secret = None, as_json: AsJson = False) -> None:
    """Each key that verifies access tokens now: its id, role and age; and which step comes next."""
    files = _files(directory, secret)
    now, coming, rows, seen = datetime.now(UTC), due(files), [], set()
    for name, file in files.items():
        kid = kid_of(name, file.content)
        if kid not in seen:
            seen.add(kid)
            rows.append({"kid": kid, "role": _role(name), "since": file.since.isoformat(timespec="seconds")})
            if not as_json:
                typer.echo(f"{kid}  {_role(name):7}  for {_span(now - file.since)}")
    if as_json:
        typer.echo(json.dumps({"keys": rows, "next": _coming(files)}))
    else:
        when = "" if coming.at is None or coming.at <= now else f", from {_moment(coming.at)} on"
        console.print(f"next: `keys rotate` {COMING[coming.step]}{when}")


@app.command()
def publish(
    secret: Annotated[str, typer.Option("--secret", help="Name or ARN in AWS Secrets Manager.")],
    directory: Configured = None,
    compromised: Compromised = False,
) -> None:
    """Put the files of a folder into a secret; writes nothing when it holds them already."""
    folder = _folder(directory)
    with held(folder):
        files = read_folder(folder)
    there = _secret(secret)
    before = there.read()
    if before is not None and before.files == files:
        console.print(f"{secret} holds these keys already; nothing was changed")
        return
    if before is not None and not compromised:
        refuse_interruption(_ring(before.files), _ring(files))
    there.write(files, replacing=before)
    console.print(f"{secret} holds {len(files)} keys; {DEPLOY}")


@app.command("bundle")
def write_bundle(directory: Directory) -> None:
    """All files of a folder as one JSON text for APP_JWT_KEYS, into a pipe: it is as secret as they are."""
    if sys.stdout.isatty():
        raise KeyRingError("a terminal would show the private keys; send them into a pipe: docs/keys.md")
    with held(directory):
        sys.stdout.write(bundle(read_folder(directory)))


def _in_folder(folder: Path, step: Callable[[KeyFiles], Rotation]) -> Rotation:
    if not folder.is_dir():
        raise KeyRingError(f"{folder}: no such folder; `python -m app keys generate` makes one")
    with held(folder):
        files = read_folder(folder)
        done = step(files)
        _ring(done.files)
        change_folder(folder, files, done.files)
    return done


def _in_secret(secret: str, directory: Path | None, step: Callable[[KeyFiles], Rotation]) -> Rotation:
    if directory is not None:
        raise typer.BadParameter("give --directory or --secret, not both")
    there = _secret(secret)
    before = _held(there)
    done = step(before.files)
    _ring(done.files)
    there.write(done.files, replacing=before)
    return done


def _secret(secret: str) -> "KeySecret":
    """boto3 is with the development requirements, which the image goes without."""
    try:
        from app.auth.key_secret import KeySecret  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise KeyRingError(
            f"{error.name} is not installed: `make init` does it; the image has none"
        ) from None
    return KeySecret(secret)


def _held(secret: "KeySecret") -> "Version":
    """Raises KeyRingError when it holds nothing."""
    held_now = secret.read()
    if held_now is None:
        raise KeyRingError(f"{secret.id}: is empty; `make secrets` or `keys publish` fills it")
    return held_now


def _files(directory: Path | None, secret: str | None) -> KeyFiles:
    if secret is not None:
        if directory is not None:
            raise typer.BadParameter("give --directory or --secret, not both")
        return _held(_secret(secret)).files
    if directory is not None:
        return read_folder(directory)
    settings = load_settings()
    if settings.jwt_keys is not None:
        return unbundled(key_files(settings.jwt_keys), "APP_JWT_KEYS", datetime.now(UTC))
    return read_folder(_folder(None))


def _folder(directory: Path | None) -> Path:
    """The one that is given, or that of the settings. Raises KeyRingError."""
    folder = directory or load_settings().jwt_keys_dir
    if folder is None:
        raise KeyRingError(
            "the keys come from APP_JWT_KEYS: change them where that comes from, with --secret"
        )
    return folder


def _ring(files: KeyFiles) -> KeyRing:
    """Raises KeyRingError, so that nothing is written that would not load."""
    return KeyRing.from_files({name: file.content for name, file in files.items()}, "the new keys")


def _tell(done: Rotation, *, in_cloud: bool, as_json: bool) -> None:
    coming = due(done.files)
    if as_json:
        signs = kid_of(CURRENT, done.files[CURRENT].content)
        answer = {"done": done.step, "kids": done.kids, "signs": signs, "next": _coming(done.files)}
        typer.echo(json.dumps(answer))
        return
    console.print(DONE[done.step].format(", ".join(done.kids)))
    if in_cloud:
        console.print(DEPLOY)
    when = f"from {_moment(coming.at)} on" if coming.at else "at any time"
    console.print(f"next: `keys rotate` {COMING[coming.step]}, {when}")


def _coming(files: KeyFiles) -> dict[str, Any]:
    coming = due(files)
    return {"step": coming.step, "at": coming.at.isoformat(timespec="seconds") if coming.at else None}


def _role(name: str) -> str:
    return {CURRENT: "current", NEXT: "next"}.get(name, "retired")


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds")


def _span(age: timedelta) -> str:
    seconds = max(0, int(age.total_seconds()))
    for length, unit in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} seconds"
