"""A rotation of the keys, step by step: no token is refused on its way, whatever is killed or done twice."""

import asyncio
import json
import shutil
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from app.auth.key_folder import (
    KeyFiles,
    bundle,
    change_folder,
    generate_key_pair,
    held,
    key_file,
    read_folder,
    unbundled,
)
from app.auth.key_ring import KeyRing, KeyRingError
from app.auth.live_keys import LiveKeys
from app.auth.rotation import (
    JWKS_MAX_AGE,
    PUBLISHED_FOR,
    RETIRED_FOR,
    NotYet,
    Step,
    due,
    refuse_interruption,
    replace_compromised,
    rotate,
)
from app.auth.tokens import InvalidToken, TokenCodec
from app.core.settings import MAX_ACCESS_TOKEN_SECONDS
from tests.commands import given, run_command, run_killed

NOW = datetime(2026, 5, 4, 12, 0, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
USER, TENANT = UUID(int=1), UUID(int=2)


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("generated")
    generate_key_pair(directory)
    return directory


@pytest.fixture
def keys(generated: Path, tmp_path: Path) -> Path:
    """A folder with one key."""
    return Path(shutil.copytree(generated, tmp_path / "keys"))


@pytest.fixture(scope="module")
def first(generated: Path) -> KeyFiles:
    return read_folder(generated)


def ring_of(files: KeyFiles) -> KeyRing:
    return KeyRing.from_files({name: file.content for name, file in files.items()})


def codec_of(ring: KeyRing) -> TokenCodec:
    return TokenCodec(ring, issuer="issuer", audience="audience", ttl_seconds=MAX_ACCESS_TOKEN_SECONDS)


def token_of(ring: KeyRing, now: datetime) -> str:
    return codec_of(ring).issue(USER, TENANT, "admin", now, session_id=USER)


def accepts(ring: KeyRing, token: str, now: datetime) -> bool:
    try:
        codec_of(ring).verify(token, now)
    except InvalidToken:
        return False
    return True


def since(directory: Path, name: str, moment: datetime) -> None:
    """Let a file say that it is from then."""
    path = directory / name
    path.write_text(key_file(path.read_text().split("\n", 1)[1], moment).content)


# The steps


def test_a_rotation_is_prepare_promote_drop_and_every_neighbour_accepts_the_other(first: KeyFiles) -> None:
    """Processes change from one ring to the next at different moments, in either order."""
    prepared = rotate(first, NOW)
    promoted = rotate(prepared.files, NOW + PUBLISHED_FOR)
    dropped = rotate(promoted.files, NOW + PUBLISHED_FOR + RETIRED_FOR)
    assert [done.step for done in (prepared, promoted, dropped)] == [Step.PREPARE, Step.PROMOTE, Step.DROP]
    rings = [ring_of(files) for files in (first, prepared.files, promoted.files, dropped.files)]
    assert [len(ring.kids) for ring in rings] == [1, 2, 2, 1]
    signers = [ring.signing_key.kid for ring in rings]
    assert signers[0] == signers[1] != signers[2] == signers[3]
    for before, after in ((0, 1), (1, 2), (2, 3)):
        assert accepts(rings[before], token_of(rings[after], NOW), NOW)
        if after < 3:
            assert accepts(rings[after], token_of(rings[before], NOW), NOW)
            refuse_interruption(rings[before], rings[after])
    assert due(dropped.files).step is Step.PREPARE


def test_a_token_of_the_old_key_outlives_it_never(first: KeyFiles) -> None:
    """The last one is signed by the slowest process of a deployment, for as long as tokens may live."""
    prepared = rotate(first, NOW).files
    promoted_at = NOW + PUBLISHED_FOR
    promoted = rotate(prepared, promoted_at).files
    last = token_of(ring_of(prepared), promoted_at + timedelta(minutes=59))
    at = promoted_at + RETIRED_FOR
    with pytest.raises(NotYet):
        rotate(promoted, at - SECOND)
    assert accepts(ring_of(promoted), last, at - timedelta(minutes=2))
    assert not accepts(ring_of(promoted), last, at)


def test_a_key_is_published_for_longer_than_others_may_keep_the_published_ones(first: KeyFiles) -> None:
    prepared = rotate(first, NOW).files
    assert PUBLISHED_FOR > JWKS_MAX_AGE
    with pytest.raises(NotYet, match=r"rotate again at 2026-05-04T12:06:00\+00:00"):
        rotate(prepared, NOW + PUBLISHED_FOR - SECOND)
    assert rotate(prepared, NOW + PUBLISHED_FOR).step is Step.PROMOTE
    assert rotate(prepared, NOW, wait=False).step is Step.PROMOTE


def test_a_retired_key_is_not_dropped_early_however_one_asks(first: KeyFiles) -> None:
    promoted = rotate(rotate(first, NOW).files, NOW, wait=False).files
    with pytest.raises(NotYet, match="tokens of the retired key"):
        rotate(promoted, NOW + RETIRED_FOR - SECOND, wait=False)


def test_of_a_promoted_key_no_private_half_is_left_of_the_one_before(first: KeyFiles) -> None:
    promoted = rotate(rotate(first, NOW).files, NOW, wait=False).files
    assert [file.content.count("PRIVATE KEY") for file in promoted.values()] == [2, 0]


def test_a_stolen_key_goes_with_all_that_lay_beside_it(first: KeyFiles) -> None:
    promoted = rotate(rotate(first, NOW).files, NOW, wait=False).files
    files = rotate(promoted, NOW + RETIRED_FOR).files
    prepared = rotate(files, NOW + RETIRED_FOR).files
    replaced = replace_compromised(prepared, NOW)
    ring = ring_of(replaced.files)
    assert list(replaced.files) == ["current.pem"]
    assert set(replaced.kids) == set(ring_of(prepared).kids)
    assert not set(ring.kids) & set(replaced.kids)
    assert not accepts(ring, token_of(ring_of(prepared), NOW), NOW)
    with pytest.raises(KeyRingError, match="does not know it"):
        refuse_interruption(ring_of(prepared), ring)


def test_a_time_survives_every_way_that_a_key_is_carried(first: KeyFiles, tmp_path: Path) -> None:
    prepared = rotate(first, NOW).files
    carried = unbundled(json.loads(bundle(prepared)), "there", datetime.now(UTC))
    assert carried == prepared
    change_folder_from_nothing(tmp_path, carried)
    assert read_folder(tmp_path) == prepared


def change_folder_from_nothing(directory: Path, files: KeyFiles) -> None:
    generate_key_pair(directory)
    change_folder(directory, read_folder(directory), files)


@pytest.mark.parametrize("note", ["Since: yesterday\n", "Since: \n", "", "Since: 2026-05-04\n"])
def test_a_key_without_a_readable_time_has_that_of_its_file(keys: Path, note: str) -> None:
    pem = (keys / "current.pem").read_text().split("\n", 1)[1]
    (keys / "current.pem").write_text(note + pem)
    file = read_folder(keys)["current.pem"]
    expected = datetime(2026, 5, 4, tzinfo=UTC) if "2026" in note else datetime.now(UTC)
    assert abs(file.since - expected) < timedelta(minutes=5)


# The folder


def rotated(keys: Path, *options: str) -> Any:
    finished = run_command("keys", "rotate", "--directory", str(keys), "--json", *options)
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


def test_a_folder_is_rotated_by_three_commands(keys: Path) -> None:
    old = KeyRing.load(keys).signing_key.kid
    prepared = rotated(keys)
    assert (prepared["done"], prepared["signs"], prepared["next"]["step"]) == ("prepare", old, "promote")
    early = run_command("keys", "rotate", "--directory", str(keys))
    assert (early.returncode, early.stdout) == (1, "")
    assert early.stderr == (
        "error: others may not know the next key yet: rotate again at"
        f" {prepared['next']['at']}, or with --now if they do\n"
    )
    since(keys, "next.pem", datetime.now(UTC) - PUBLISHED_FOR)
    promoted = rotated(keys)
    assert (promoted["done"], promoted["kids"], promoted["signs"]) == (
        "promote", prepared["kids"], prepared["kids"][0],
    )  # fmt: skip
    assert sorted(path.name for path in keys.iterdir()) == ["current.pem", f"retired-{old}.pem"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in keys.iterdir()} == {0o600}
    assert run_command("keys", "rotate", "--directory", str(keys), "--now").returncode == 1
    since(keys, f"retired-{old}.pem", datetime.now(UTC) - RETIRED_FOR)
    assert rotated(keys)["kids"] == [old]
    assert [path.name for path in keys.iterdir()] == ["current.pem"]


def test_a_person_is_told_what_was_done_and_what_comes_next(keys: Path) -> None:
    done = run_command("keys", "rotate", "--directory", str(keys))
    assert done.stdout == ""
    said, following = done.stderr.splitlines()
    assert said.startswith("prepared: ")
    assert following.startswith("next: `keys rotate` lets the next key sign, from 20")
    listed = run_command("keys", "list", "--directory", str(keys))
    assert [line.split()[1] for line in listed.stdout.splitlines()] == ["current", "next"]
    assert listed.stderr == following + "\n"
    told = json.loads(run_command("keys", "list", "--directory", str(keys), "--json").stdout)
    assert [(key["kid"], key["role"]) for key in told["keys"]] == [
        (kid, role) for kid, role in zip(KeyRing.load(keys).kids, ("current", "next"), strict=True)
    ]
    assert told["next"]["step"] == "promote"
    for finished in (done, listed):
        assert "PRIVATE" not in finished.stdout + finished.stderr


def test_a_stolen_key_is_replaced_in_one_command(keys: Path) -> None:
    rotated(keys)
    before = set(KeyRing.load(keys).kids)
    assert set(rotated(keys, "--compromised")["kids"]) == before
    assert not before & set(KeyRing.load(keys).kids)
    assert [path.name for path in keys.iterdir()] == ["current.pem"]
    both = run_command("keys", "rotate", "--directory", str(keys), "--compromised", "--now")
    assert both.returncode == 2


def test_rotations_at_once_lose_no_key(keys: Path) -> None:
    old = KeyRing.load(keys).signing_key.kid
    with ThreadPoolExecutor(4) as pool:
        finished = list(pool.map(lambda _: run_command("keys", "rotate", "--directory", str(keys)), range(4)))
    assert sum(one.returncode == 0 for one in finished) == 1
    for one in finished:
        assert one.returncode == 0 or "another command" in one.stderr or "may not know" in one.stderr
    ring = KeyRing.load(keys)
    assert (ring.signing_key.kid, len(ring.kids)) == (old, 2)
    assert sorted(path.name for path in keys.iterdir()) == ["current.pem", "next.pem"]


def test_a_folder_that_another_command_holds_is_left_alone(keys: Path) -> None:
    with held(keys):
        refused = run_command("keys", "rotate", "--directory", str(keys))
    assert refused.returncode == 1
    assert "another command is changing these keys" in refused.stderr
    assert [path.name for path in keys.iterdir()] == ["current.pem"]


@pytest.mark.parametrize("name", ["current.pem", "next.pem"])
def test_keys_that_do_not_load_are_not_rotated(keys: Path, name: str) -> None:
    (keys / name).write_text("nonsense")
    (keys / name).chmod(0o600)
    refused = run_command("keys", "rotate", "--directory", str(keys), "--now")
    assert refused.returncode == 1
    assert name in refused.stderr
    assert (keys / name).read_text() == "nonsense"


# Ends at the given change of the file system, before it is made.
KILLED = """\
import os, signal, sys
left = int(sys.argv.pop(1))
def count(event, arguments):
    global left
    if event in {"os.rename", "os.remove", "os.link"}:
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
sys.addaudithook(count)
from app.cli import main
main()
"""


@pytest.mark.parametrize("step", [Step.PREPARE, Step.PROMOTE, Step.DROP])
async def test_a_step_that_is_killed_leaves_good_keys_and_is_finished_by_the_next(
    keys: Path, step: Step
) -> None:
    old = KeyRing.load(keys)
    if step is not Step.PREPARE:
        rotated(keys)
    if step is Step.DROP:
        rotated(keys, "--now")
        since(keys, f"retired-{old.signing_key.kid}.pem", NOW)
    before = KeyRing.load(keys)
    for changes in range({Step.PREPARE: 1, Step.PROMOTE: 2, Step.DROP: 1}[step]):
        await run_killed(
            KILLED, str(changes), "keys", "rotate", "--directory", str(keys), "--now", environment=given({})
        )
        left = KeyRing.load(keys)
        assert left.signing_key.kid == before.signing_key.kid
        assert set(left.kids) == set(before.kids)
    assert rotated(keys, "--now")["done"] == step
    ring = KeyRing.load(keys)
    assert (ring.verification_key(old.signing_key.kid) is None) == (step is Step.DROP)


async def test_a_ring_is_read_as_of_one_moment_while_it_is_rotated(keys: Path) -> None:
    """Between the files of a promotion a reader could miss the key that signs from then on."""
    published, rings, stop = set(KeyRing.load(keys).kids), [], Event()

    def read() -> None:
        while not stop.is_set():
            before = set(published)
            rings.append(KeyRing.load(keys))
            assert before & published <= set(rings[-1].kids)

    reading = asyncio.create_task(asyncio.to_thread(read))
    try:
        for _ in range(3):
            files = read_folder(keys)
            prepared = await asyncio.to_thread(rotate, files, NOW)
            change_folder(keys, files, prepared.files)
            published.update(prepared.kids)
            promoted = rotate(prepared.files, NOW, wait=False).files
            change_folder(keys, prepared.files, promoted)
            dropped = rotate(promoted, NOW + RETIRED_FOR)
            published.difference_update(dropped.kids)
            change_folder(keys, promoted, dropped.files)
    finally:
        stop.set()
        await reading
    assert len({ring.signing_key.kid for ring in rings}) > 1


# A running process


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came to that")


async def test_a_process_follows_its_folder_and_says_so_to_who_listens(keys: Path) -> None:
    live, heard = LiveKeys(KeyRing.load(keys), keys, look_seconds=0.01), []
    live.on_change(lambda: heard.append(live.signing_key.kid))
    live.start()
    try:
        old = live.signing_key.kid
        kid = rotated(keys)["kids"][0]
        await until(lambda: live.verification_key(kid) is not None)
        assert live.signing_key.kid == old
        rotated(keys, "--now")
        await until(lambda: live.signing_key.kid == kid)
        assert live.verification_key(old) is not None
        assert [key["kid"] for key in live.jwks()["keys"]] == [kid, old]
        assert heard == [old, kid]
    finally:
        await live.stop()


@pytest.mark.parametrize("damage", ["nonsense", "mode", "missing"])
async def test_a_process_keeps_good_keys_when_new_ones_are_bad(keys: Path, damage: str) -> None:
    live = LiveKeys(KeyRing.load(keys), keys, look_seconds=0.01)
    good, old, current = (keys / "current.pem").read_text(), live.signing_key.kid, keys / "current.pem"
    live.start()
    try:
        with capture_logs() as logs:
            if damage == "nonsense":
                current.write_text("nonsense")
            elif damage == "mode":
                current.chmod(0o644)
            else:
                current.unlink()
            await until(lambda: bool(logs))
            await asyncio.sleep(0.1)
        assert [entry["event"] for entry in logs] == ["signing_keys_not_reloaded"], "once, and not each time"
        assert logs[0]["log_level"] == "error"
        assert "current.pem" in logs[0]["reason"]
        assert live.signing_key.kid == old
        current.write_text(good)
        current.chmod(0o600)
        kid = rotated(keys)["kids"][0]
        await until(lambda: live.verification_key(kid) is not None)
    finally:
        await live.stop()


async def test_keys_of_a_variable_are_not_looked_for(first: KeyFiles) -> None:
    live = LiveKeys(ring_of(first))
    live.start()
    await live.stop()
    assert live.ring.kids == ring_of(first).kids
