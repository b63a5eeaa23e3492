"""The isolation proof finds no leak in the service, finds one in its control, and says which it found."""

import json
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from app.core.database import owner_engine
from app.core.settings import Pooler, Settings
from app.tenants.errors import IsolationProofRunning
from app.tenants.isolation_proof import Report, Verdict, prove_isolation
from app.tenants.isolation_twins import temporary_twins
from app.tenants.isolation_workload import SHARES
from tests.commands import run_command, run_interpreter, start_command
from tests.conftest import DatabaseURLs, command_environment
from tests.pgbouncer import find_pgbouncer, pgbouncer

SEED = 20261124


@pytest.fixture(scope="module")
def pooled_url(database_urls: DatabaseURLs) -> Iterator[str]:
    """The runtime login through a PgBouncer that has fewer server connections than it has clients."""
    with pgbouncer(find_pgbouncer(), database_urls.runtime, server_connections=3) as url:
        yield url


async def temporary_schemas(database_urls: DatabaseURLs) -> int:
    """How many there are; their roles bear the same names."""
    engine = owner_engine(database_urls.owner)
    try:
        async with engine.connect() as connection:
            query = text(
                "SELECT count(*) FROM pg_namespace WHERE obj_description(oid) LIKE '%isolation proof'"
            )
            return int(await connection.scalar(query) or 0)
    finally:
        await engine.dispose()


def assert_proven(report: Report, requests: int) -> None:
    assert (report.verdict, report.doubts, report.examples) == (Verdict.NO_LEAK, [], [])
    assert report.requests == requests
    assert set(report.kinds) == set(SHARES)
    assert min(report.kinds.values()) > 0
    assert report.observations > requests
    assert report.control_leaks > 0


@pytest.mark.parametrize("requests", [4000, pytest.param(100_000, marks=pytest.mark.nightly)])
async def test_mixed_requests_do_not_leak(database_urls: DatabaseURLs, requests: int) -> None:
    report = await prove_isolation(database_urls.runtime, database_urls.owner, requests=requests, seed=SEED)
    assert_proven(report, requests)
    assert report.generic_plans > 100
    assert [phase.pool_size for phase in report.phases] == [1, 2, 3, 4]
    assert await temporary_schemas(database_urls) == 0


@pytest.mark.parametrize("requests", [1000, pytest.param(100_000, marks=pytest.mark.nightly)])
async def test_mixed_requests_do_not_leak_through_pgbouncer(
    database_urls: DatabaseURLs, pooled_url: str, requests: int
) -> None:
    report = await prove_isolation(
        pooled_url, database_urls.owner, requests=requests, seed=SEED, pooler=Pooler.PGBOUNCER
    )
    assert_proven(report, requests)
    # Far more than directly: each transaction there meets whatever path another client left. Only a pool of
    # one has no other client: it gets the same server connection each time.
    shared = [phase.tally for phase in report.control if phase.pool_size > 1]
    assert sum(tally.leaks for tally in shared) > sum(tally.observations for tally in shared) * 0.2
    assert report.control_foreign_rows > 0


async def test_the_verdict_follows_from_what_was_seen(database_urls: DatabaseURLs) -> None:
    """A real run whose phases are exchanged: what the naive control did is called a leak."""
    report = await prove_isolation(database_urls.runtime, database_urls.owner, requests=100, seed=SEED)
    assert report.verdict is Verdict.NO_LEAK
    assert replace(report, phases=report.control).verdict is Verdict.LEAK
    assert replace(report, foreign_rows=1).verdict is Verdict.LEAK
    blind = replace(report, control=report.phases)
    assert (blind.verdict, blind.doubts) == (
        Verdict.INCONCLUSIVE,
        ["the control did not leak, so this proof is blind"],
    )
    for doubt in ({"missing_rows": 1}, {"abandoned_rows": 1}):
        assert replace(report, **doubt).verdict is Verdict.INCONCLUSIVE


async def test_two_proofs_do_not_run_on_one_database(database_urls: DatabaseURLs) -> None:
    async with temporary_twins(database_urls.owner):
        with pytest.raises(IsolationProofRunning):
            await prove_isolation(database_urls.runtime, database_urls.owner, requests=1, seed=SEED)


async def test_what_a_killed_proof_left_is_removed_by_the_next(
    database_urls: DatabaseURLs,
    settings: Settings,
    tmp_path: Path,
) -> None:
    command = ("tenants", "prove-isolation", "--requests", "100000")
    with start_command(*command, cwd=tmp_path, **command_environment(settings)) as killed:
        deadline = time.monotonic() + 60
        while await temporary_schemas(database_urls) < 4 and time.monotonic() < deadline:
            time.sleep(0.05)  # noqa: ASYNC251  # nothing else runs here
        killed.send_signal(signal.SIGKILL)
    assert await temporary_schemas(database_urls) == 4
    # The server takes a moment to notice that the holder of the lock is gone.
    deadline = time.monotonic() + 30
    finished = run_command(
        "tenants", "prove-isolation", "--requests", "100", cwd=tmp_path, **command_environment(settings)
    )
    while finished.returncode != 0 and "Another isolation proof" in finished.stderr:
        assert time.monotonic() < deadline
        finished = run_command(
            "tenants", "prove-isolation", "--requests", "100", cwd=tmp_path, **command_environment(settings)
        )
    assert finished.returncode == 0, finished.stderr
    assert "as it must" in finished.stdout
    assert "verdict: no leak: 0 leaks" in finished.stdout
    assert await temporary_schemas(database_urls) == 0


def test_an_inconclusive_proof_is_a_failure(
    settings: Settings,
    tmp_path: Path,
) -> None:
    """Too few requests for a generic plan; the command says so and does not call it a proof."""
    finished = run_command(
        "tenants",
        "prove-isolation",
        "--requests",
        "3",
        "--json",
        cwd=tmp_path,
        **command_environment(settings),
    )
    report = json.loads(finished.stdout)
    assert finished.returncode == 1
    assert (report["verdict"], report["doubts"]) == ("inconclusive", ["no plan became generic"])


def test_the_proof_needs_nothing_but_the_development_packages(tmp_path: Path) -> None:
    arguments = ("tenants", "prove-isolation", "--throwaway", "--requests", "100", "--json")
    finished = run_interpreter(*arguments, cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert json.loads(finished.stdout)["verdict"] == "no leak"
    assert list(tmp_path.iterdir()) == []


def test_pool_sizes_that_make_no_sense_are_refused() -> None:
    for pools in ("0", "1,x"):
        finished = run_command("tenants", "prove-isolation", "--throwaway", "--pools", pools)
        assert finished.returncode == 2
        assert "separated by commas" in finished.stderr
