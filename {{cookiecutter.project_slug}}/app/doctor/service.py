"""The checks of one installation: settings, keys, databases, revisions, Redis."""

import asyncio
import base64
import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from app.auth.key_ring import KeyRing, KeyRingError
from app.core.context import DEFAULT_PLACEMENT
from app.core.settings import (
    DEV_ENV_FILES,
    ENV_FILES,
    Environment,
    Settings,
    SettingsError,
    load_settings,
)
from app.doctor.databases import Login, look_at_owner, look_at_runtime
from app.doctor.redis import look_at_redis
from app.doctor.report import Finding, Outcome, Report, fail, ok, skip, warn
from app.doctor.revisions import look_at_registry, look_at_revisions

# Read by one command or by the tests, and by no process as a setting.
OTHER_NAMES: Final = {"APP_CITUS_WORKER_URLS", "APP_SUPERUSER_DATABASE_URL"}
ASSIGNED: Final = re.compile(r"^\s*(?:export\s+)?(\w+)\s*=", re.MULTILINE)
OTHER_PREFIX: Final = "APP_TEST_"
AFTER_SETTINGS: Final = ("signing keys", "database", "revisions", "redis")


async def examine() -> Report:
    """Look at everything that the settings name. A check that cannot be made says why; none raises."""
    try:
        settings = load_settings()
    except (SettingsError, OSError) as error:
        return Report(
            [
                fail("settings", faults_of(error), "correct them; .env.example describes each variable"),
                *unknown_names(),
                *(skip(check, "the settings did not load") for check in AFTER_SETTINGS),
            ]
        )
    stores = await asyncio.gather(look_at_databases(settings), look_at_redis(settings))
    found = [describe_settings(settings), *unknown_names(), look_at_keys(settings)]
    return Report([*found, *(finding for findings in stores for finding in findings)])


async def look_at_databases(settings: Settings) -> list[Finding]:
    """Both logins of every placement at once; then the revisions, where a login got through."""
    runtime, owners = settings.runtime_urls, settings.owner_urls
    places, owned_places = list(runtime), [place for place in runtime if place in owners]
    served = await asyncio.gather(
        *(look_at_runtime(place, runtime[place], settings.database_pooler) for place in places)
    )
    owned = await asyncio.gather(*(look_at_owner(place, owners[place]) for place in owned_places))
    by_place = dict(zip(owned_places, owned, strict=True))
    findings: list[Finding] = []
    for place, seen in zip(places, served, strict=True):
        findings += seen
        findings += by_place.get(place, [not_configured(place)])
    reachable = {place: owners[place] for place in by_place if was_reached(by_place[place])}
    if DEFAULT_PLACEMENT in reachable:
        return [*findings, *await look_at_revisions(reachable)]
    if was_reached(served[0]):
        return [*findings, *await look_at_registry(runtime[DEFAULT_PLACEMENT], settings.database_pooler)]
    return [*findings, skip("revisions", "no login reached the database of the registry")]


def not_configured(place: str) -> Finding:
    return skip(f"database {place} ({Login.OWNER})", "not configured: this process can only serve")


def was_reached(findings: Sequence[Finding]) -> bool:
    return findings[0].outcome is not Outcome.FAIL or len(findings) > 1


def describe_settings(settings: Settings) -> Finding:
    """Where they came from: names of files and variables, no values."""
    files = [name for name in files_of(settings.environment) if Path(name).is_file()]
    given = sorted(name for name in environment_names() if name in known_names())
    sources = [*files, *([f"the environment ({', '.join(given)})"] if given else [])]
    return ok("settings", f"{settings.environment}, from {' and '.join(sources) or 'nowhere but defaults'}")


def faults_of(error: SettingsError | OSError) -> str:
    """The lines that name a variable, in one; or the file that cannot be read."""
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}"
    lines = [line.strip() for line in str(error).splitlines() if line.startswith("  ")]
    return "; ".join(lines) or str(error)


def unknown_names() -> list[Finding]:
    """A variable with a slip in its name is ignored, and the default taken in its place."""
    names = {(name, "the environment") for name in environment_names()}
    for file in DEV_ENV_FILES:
        names |= {(name.upper(), file) for name in ASSIGNED.findall(text_of(Path(file)))}
    unknown = [
        f"{name} in {source}"
        for name, source in sorted(names)
        if name.startswith("APP_") and not name.startswith(OTHER_PREFIX) and name not in known_names()
    ]
    if not unknown:
        return []
    return [warn("names of settings", f"nothing reads {', '.join(unknown)}", "correct or delete them")]


def text_of(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""


def environment_names() -> list[str]:
    return [name.upper() for name in os.environ if name.upper().startswith("APP_")]


def known_names() -> set[str]:
    return {f"APP_{name.upper()}" for name in Settings.model_fields} | OTHER_NAMES


def files_of(environment: Environment) -> tuple[str, ...]:
    return DEV_ENV_FILES if environment is Environment.DEV else ENV_FILES


def look_at_keys(settings: Settings) -> Finding:
    """That they load, which refuses weak ones and files that others can read; and who may replace them."""
    check = "signing keys"
    try:
        ring = KeyRing.from_settings(settings)
        folder = settings.jwt_keys_dir
        mode = stat.S_IMODE(folder.stat().st_mode) if folder else 0
    except KeyRingError as error:
        return fail(check, str(error), "correct that, or make new ones with `app keys generate`")
    except OSError as error:
        return fail(check, f"{error.filename}: {error.strerror}", "let this process read them, and only it")
    if mode & 0o022:
        return warn(check, f"{folder}: mode {mode:04o} lets others replace them", f"run `chmod 700 {folder}`")
    kid = ring.signing_key.kid
    where = f"{folder}, mode {mode:04o}" if folder else "APP_JWT_KEYS"
    bits = bits_of(ring.verification_keys[kid].jwk["n"])
    return ok(check, f"signs as {kid} ({bits} bits); {len(ring.verification_keys)} verify; from {where}")


def bits_of(modulus: str) -> int:
    raw = base64.urlsafe_b64decode(modulus + "=" * (-len(modulus) % 4))
    return int.from_bytes(raw, "big").bit_length()
