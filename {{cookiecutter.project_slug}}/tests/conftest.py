"""A real PostgreSQL and a real Valkey for all tests, and two tenants whose rows have the same ids.

`APP_TEST_SUPERUSER_DATABASE_URL` and `APP_TEST_REDIS_URL` point the tests at servers of your own; use
throwaway ones, because the logins `app_owner` and `app_runtime` get new passwords. With `APP_TEST_CITUS_BIN`
the tests of Citus run too, and with `APP_TEST_ON_CITUS=1` besides all others run on a Citus cluster as their
only database (docs/citus.md).
"""

import os
import secrets
import signal
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import httpx
import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from jose import jwt
from sqlalchemy import make_url

from app.auth.key_folder import generate_key_pair
from app.core.context import DEFAULT_PLACEMENT, tenant_schema
from app.core.database import Database
from app.core.provisioning import OWNER_ROLE, RUNTIME_ROLE, provision_database, scram_verifier
from app.core.settings import Settings
from app.fleet import Fleet
from app.main import create_app
from app.operators.service import operator_accounts_from
from app.tenants.creation import NewTenant, TenantCredentials
from app.tenants.models import Plan
from tests.citus import CITUS_SETTING, CitusCluster, citus_cluster

# A shared machine is slow at times; a slow example is no fault.
hypothesis_settings.register_profile(
    "default", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
hypothesis_settings.load_profile("default")


def pytest_configure() -> None:
    """A run that is told to end takes its servers and their data with it."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.fixture(scope="session")
def superuser_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A throwaway PostgreSQL."""
    given = os.environ.get("APP_TEST_SUPERUSER_DATABASE_URL")
    if given:
        yield given
        return
    from app.embedded import remove_postgres, start_postgres

    directory = tmp_path_factory.mktemp("postgres")
    server = start_postgres(directory, durable=False)
    try:
        yield server.url("postgres")
    finally:
        remove_postgres(directory)


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A throwaway Valkey."""
    given = os.environ.get("APP_TEST_REDIS_URL")
    if given:
        yield given
        return
    from app.embedded import start_valkey, stop_valkey

    directory = tmp_path_factory.mktemp("valkey")
    server = start_valkey(directory, persistent=False)
    try:
        yield server.url()
    finally:
        stop_valkey(directory)


@dataclass(frozen=True, slots=True)
class DatabaseURLs:
    superuser: str
    owner: str
    runtime: str


@pytest.fixture(scope="session")
async def database_urls(request: pytest.FixtureRequest) -> DatabaseURLs:
    """A database of this run alone, provisioned and at head, as a deployment would have it."""
    if os.environ.get("APP_TEST_ON_CITUS"):
        cluster: CitusCluster = request.getfixturevalue("citus_servers")
        await cluster.provision()
        urls = DatabaseURLs(cluster.url(), cluster.url(OWNER_ROLE), cluster.url(RUNTIME_ROLE))
    else:
        urls = await provisioned(request.getfixturevalue("superuser_url"))
    assert (await Fleet({"default": urls.owner}).apply()).ok
    return urls


async def provisioned(superuser_url: str) -> DatabaseURLs:
    """A new database with its two logins, and nothing in it."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    owner_password, runtime_password = secrets.token_urlsafe(18), secrets.token_urlsafe(18)
    await provision_database(
        superuser_url, database=name, owner_password=owner_password, runtime_password=runtime_password
    )

    def url(username: str, password: str) -> str:
        parsed = make_url(superuser_url).set(username=username, password=password, database=name)
        return parsed.render_as_string(hide_password=False)

    urls = DatabaseURLs(
        superuser=make_url(superuser_url).set(database=name).render_as_string(hide_password=False),
        owner=url(OWNER_ROLE, owner_password),
        runtime=url(RUNTIME_ROLE, runtime_password),
    )
    await cheapen_logins(urls)
    return urls


async def cheapen_logins(urls: DatabaseURLs) -> None:
    """Passwords that cost one hash and not 4,096: a tenth of the tests' time went into logging in."""
    superuser = await asyncpg.connect(urls.superuser)
    for url in (urls.owner, urls.runtime):
        login = make_url(url)
        verifier = scram_verifier(str(login.password), iterations=1)
        await superuser.execute(f"ALTER ROLE {login.username} PASSWORD '{verifier}'")
    await superuser.close()


@pytest.fixture(scope="session")
def keys_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("keys")
    generate_key_pair(directory)
    return directory


@pytest.fixture(scope="session")
def citus_servers() -> Iterator[CitusCluster]:
    """A throwaway coordinator and two workers, not yet provisioned; the test is skipped without Citus."""
    binaries = os.environ.get(CITUS_SETTING)
    if not binaries:
        pytest.skip(f"{CITUS_SETTING} names no PostgreSQL with the Citus extension")
    with citus_cluster(Path(binaries)) as cluster:
        yield cluster


@pytest.fixture(scope="session")
async def citus(citus_servers: CitusCluster) -> CitusCluster:
    """The cluster as a deployment would have it."""
    await citus_servers.provision()
    return citus_servers


@pytest.fixture(scope="session")
def settings(database_urls: DatabaseURLs, redis_url: str, keys_dir: Path) -> Settings:
    """The settings of the service under test: cheap hashes, and one trusted proxy so that each client of a
    test can have an address of its own."""
    return Settings(
        _env_file=None,
        environment="test",
        database_url=database_urls.runtime,
        migration_database_url=database_urls.owner,
        redis_url=redis_url,
        secret_key=secrets.token_hex(32),
        jwt_keys_dir=keys_dir,
        bcrypt_rounds=4,
        api_key_bcrypt_rounds=4,
        trusted_proxy_count=1,
        first_tenant_name="Acme Corp",
        first_tenant_admin_email="ada@acme.test",
    )


INHERITED = ("PATH", "HOME", "PYTHONDONTWRITEBYTECODE")


def command_environment(settings: Settings) -> dict[str, str]:
    """The environment in which a command sees the servers of the tests."""
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return inherited | {
        "APP_ENVIRONMENT": "test",
        "APP_DATABASE_URL": settings.runtime_urls[DEFAULT_PLACEMENT],
        "APP_MIGRATION_DATABASE_URL": settings.owner_urls[DEFAULT_PLACEMENT],
        "APP_REDIS_URL": settings.redis_url.get_secret_value(),
        "APP_SECRET_KEY": settings.secret_key.get_secret_value(),
        "APP_JWT_KEYS_DIR": str(settings.jwt_keys_dir),
        "APP_API_KEY_PREFIX": settings.api_key_prefix,
        "APP_JWT_ISSUER": settings.jwt_issuer,
        "APP_BCRYPT_ROUNDS": str(settings.bcrypt_rounds),
        "APP_API_KEY_BCRYPT_ROUNDS": str(settings.api_key_bcrypt_rounds),
    }


@pytest.fixture(scope="session")
async def app(settings: Settings) -> AsyncIterator[FastAPI]:
    """The running service."""
    application = create_app(settings)
    async with application.router.lifespan_context(application):
        yield application


@pytest.fixture
async def database(database_urls: DatabaseURLs) -> AsyncIterator[Database]:
    """A pool of one, so that every reuse of a connection would show what was left on it."""
    database = Database(database_urls.runtime, pool_size=1)
    yield database
    await database.close()


@asynccontextmanager
async def client_of(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client with an address of its own, so that one test's requests do not use up another's limit."""
    address = f"10.{secrets.randbelow(256)}.{secrets.randbelow(256)}.{secrets.randbelow(256)}"
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    headers = {"X-Forwarded-For": address}
    async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client:
        yield client


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client without credentials."""
    async with client_of(app) as anonymous:
        yield anonymous


@dataclass(frozen=True, slots=True)
class TestTenant:
    """A tenant and a client logged in as its admin."""

    __test__ = False

    credentials: TenantCredentials
    client: httpx.AsyncClient

    @property
    def id(self) -> uuid.UUID:
        return self.credentials.tenant_id

    @property
    def schema(self) -> str:
        return tenant_schema(self.credentials.tenant_id)

    @property
    def session_id(self) -> uuid.UUID:
        """The session that the client's access token comes from."""
        claims = jwt.get_unverified_claims(str(self.client.headers["Authorization"]).removeprefix("Bearer "))
        return uuid.UUID(claims["sid"])

    @property
    def login(self) -> dict[str, str]:
        return {
            "tenant": self.credentials.tenant,
            "email": self.credentials.email,
            "password": self.credentials.password,
        }


MakeTenant = Callable[..., Awaitable[TestTenant]]


@asynccontextmanager
async def tenant_maker(app: FastAPI, placement: str = DEFAULT_PLACEMENT) -> AsyncIterator[MakeTenant]:
    """Makes tenants with the running service's own logins and pools, as its sign-up does."""

    async def make(plan: Plan = Plan.ENTERPRISE, placement: str = placement) -> TestTenant:
        slug = f"t-{uuid.uuid4().hex[:16]}"
        email = f"admin@{slug}.test"
        new = NewTenant(name=slug, slug=slug, admin_email=email, plan=plan, placement=placement)
        credentials = await app.state.onboarding.create(new)
        client = await stack.enter_async_context(client_of(app))
        tenant = TestTenant(credentials, client)
        answer = await client.post("/v1/auth/login", json=tenant.login)
        assert answer.status_code == 200, answer.text
        client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        return tenant

    async with AsyncExitStack() as stack:
        yield make


@pytest.fixture
async def make_tenant(app: FastAPI) -> AsyncIterator[MakeTenant]:
    """Make as many tenants as a test needs."""
    async with tenant_maker(app) as make:
        yield make


@pytest.fixture
async def tenant(make_tenant: MakeTenant) -> TestTenant:
    return await make_tenant()


@pytest.fixture
async def stranger(make_tenant: MakeTenant) -> TestTenant:
    """Another tenant, to whom nothing of the first may show."""
    return await make_tenant()


@dataclass(frozen=True, slots=True)
class TestOperator:
    """An operator of the platform and a client logged in as one."""

    __test__ = False

    id: uuid.UUID
    email: str
    password: str
    client: httpx.AsyncClient

    @property
    def token(self) -> str:
        return str(self.client.headers["Authorization"]).removeprefix("Bearer ")


MakeOperator = Callable[[], Awaitable[TestOperator]]


@pytest.fixture
async def make_operator(app: FastAPI, settings: Settings) -> AsyncIterator[MakeOperator]:
    """Make as many operators as a test needs."""

    async def make() -> TestOperator:
        email, password = f"op-{uuid.uuid4().hex[:12]}@platform.test", secrets.token_urlsafe(18)
        operator_id = await operator_accounts_from(settings).create(email, password)
        client = await stack.enter_async_context(client_of(app))
        answer = await client.post("/v1/operators/login", json={"email": email, "password": password})
        assert answer.status_code == 200, answer.text
        client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        return TestOperator(operator_id, email, password, client)

    async with AsyncExitStack() as stack:
        yield make


@pytest.fixture
async def operator(make_operator: MakeOperator) -> TestOperator:
    return await make_operator()
