"""Composition root of the API: makes everything once, wires it, and starts and stops it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import structlog
from fastapi import Depends, FastAPI
from starlette.datastructures import State

from app import gateway
from app.access import PermissionCatalogue, PolicyStore, declared_access, deny_unguarded
from app.access.router import access_router
from app.access.router import router as roles_router
from app.audit.router import router as audit_router
from app.auth.api_key_router import router as api_keys_router
from app.auth.authenticator import Authenticator
from app.auth.key_verifier import KeyVerifier
from app.auth.last_used import LastUsedRecorder, write_last_used
from app.auth.live_keys import LiveKeys
from app.auth.password_changes import PasswordChanges
from app.auth.passwords import PasswordHasher
from app.auth.router import keys_router, people_router
from app.auth.router import router as auth_router
from app.auth.sessions import Sessions
from app.auth.tokens import TokenCodec
from app.auth.verified_secrets import VerifiedSecrets
from app.core.context import DEFAULT_PLACEMENT, TenantRef
from app.core.database import Database, TenantDatabases, UnknownPlacement
from app.core.docs_page import install_docs
from app.core.epochs import ChangeEpochs
from app.core.idempotency import IdempotentRequests
from app.core.logging import configure_logging
from app.core.openapi import install_openapi
from app.core.pagination import CursorCodec
from app.core.pools import ConnectionBudget
from app.core.problems import install_problem_handlers
from app.core.redis import make_redis
from app.core.settings import Settings, load_settings
from app.health.router import router as health_router
from app.limits.failures import FailureThrottle
from app.limits.plans import is_exempt
from app.limits.service import DatabaseLimits, RateLimiter
from app.operators.impersonation import Impersonations
from app.operators.router import impersonations_router
from app.operators.router import router as operators_router
from app.operators.sessions import OperatorSessions
from app.operators.tokens import OperatorTokenCodec
from app.resources.router import router as resources_router
from app.tenants import TenantRegistry
from app.tenants.bootstrap import creation_tools, make_lifecycle
from app.tenants.isolation import tenant_login_url
from app.tenants.onboarding import Onboarding
from app.tenants.placements import OwnerDatabases
from app.tenants.router import router as tenants_router
from app.tenants.router import sign_up_router
from app.usage.recorder import UsageRecorder
from app.usage.service import write_events
from app.users.router import router as users_router

log = structlog.get_logger(__name__)

ROUTERS = (
    auth_router,
    keys_router,
    people_router,
    api_keys_router,
    resources_router,
    users_router,
    audit_router,
    roles_router,
    access_router,
    operators_router,
    impersonations_router,
    health_router,
    tenants_router,
)


def create_app(settings: Settings | None = None) -> FastAPI:
    """The whole service. Raises SettingsError or KeyRingError when it must not start."""
    settings = settings or load_settings()
    configure_logging(settings.log_level, settings.log_format)
    app = FastAPI(
        title=settings.project_name,
        version=settings.version,
        description="Multi-tenant API. Log in under **auth**, then press *Authorize*.",
        docs_url=None,  # install_docs serves it, without a CDN
        redoc_url=None,
        openapi_url="/openapi.json",
        # A redirect would name the host that the client claims to have asked.
        redirect_slashes=False,
        lifespan=_lifespan,
        dependencies=[Depends(deny_unguarded)],
        separate_input_output_schemas=False,
    )
    _compose(app, settings)
    for router in (*ROUTERS, *((sign_up_router,) if settings.sign_up_enabled else ())):
        app.include_router(router)
    app.state.permissions = PermissionCatalogue.of(app)
    install_problem_handlers(app)
    install_openapi(app, declared_access, is_exempt)
    install_docs(app, persistAuthorization=True, tryItOutEnabled=True)
    app.add_middleware(
        gateway.install,
        settings=settings,
        authenticator=app.state.authenticator,
        registry=app.state.registry,
        limiter=app.state.limiter,
        recorder=app.state.recorder,
    )
    return app


def _compose(app: FastAPI, settings: Settings) -> None:
    """Make everything once and put it on `app.state`. Nothing connects yet."""
    state = app.state
    secret_key = settings.secret_key.get_secret_value()
    state.settings = settings
    state.key_ring = LiveKeys.from_settings(settings)
    state.codec = TokenCodec(
        state.key_ring,
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        ttl_seconds=settings.access_token_ttl_seconds,
    )
    placements = {name: _database(settings, url) for name, url in settings.runtime_urls.items()}
    state.database = placements[DEFAULT_PLACEMENT]
    state.redis = make_redis(settings.redis_url.get_secret_value())
    state.epochs = ChangeEpochs(state.redis)
    state.registry = TenantRegistry(state.database, state.redis)
    state.databases = TenantDatabases(
        placements,
        dedicated=partial(_dedicated_database, settings, _dedicated_budget(settings)),
        has_changed=state.registry.has_changed,
    )
    state.registry.on_read(state.databases.retire)
    state.policies = PolicyStore(state.databases)
    state.cursors = CursorCodec(secret_key)
    state.idempotent_requests = IdempotentRequests(secret_key)
    state.hasher = PasswordHasher(rounds=settings.bcrypt_rounds, workers=settings.password_workers)
    state.key_hasher = PasswordHasher(
        rounds=settings.api_key_bcrypt_rounds, workers=settings.password_workers
    )
    state.throttle = FailureThrottle(state.redis)
    state.passwords = PasswordChanges(
        databases=state.databases,
        epochs=state.epochs,
        throttle=state.throttle,
        hasher=state.hasher,
        service_name=settings.project_name,
    )
    state.sessions = Sessions(
        databases=state.databases,
        registry=state.registry,
        epochs=state.epochs,
        throttle=state.throttle,
        hasher=state.hasher,
        codec=state.codec,
        refresh_ttl_seconds=settings.refresh_token_ttl_seconds,
        idle_seconds=settings.session_idle_seconds,
        access_ttl_seconds=settings.access_token_ttl_seconds,
    )
    state.operator_sessions = OperatorSessions(
        database=state.database,
        hasher=state.hasher,
        codec=OperatorTokenCodec(
            state.key_ring,
            issuer=settings.jwt_issuer,
            audience=settings.operator_audience,
            ttl_seconds=settings.operator_token_ttl_seconds,
        ),
        ttl_seconds=settings.operator_token_ttl_seconds,
    )
    state.impersonations = Impersonations(
        platform=state.database, databases=state.databases, registry=state.registry, codec=state.codec
    )
    state.last_used = LastUsedRecorder(partial(write_last_used, state.databases, state.registry))
    state.authenticator = Authenticator(
        codec=state.codec,
        databases=state.databases,
        operators=state.operator_sessions,
        keys=_key_verifier(state, secret_key),
        last_used=state.last_used,
        secret_key=secret_key,
    )
    state.key_ring.on_change(state.authenticator.forget_tokens)
    state.limiter = RateLimiter(
        state.redis, source=DatabaseLimits(state.database), outage_mode=settings.rate_limit_outage_mode
    )
    state.owners = OwnerDatabases.from_settings(settings)
    tools = creation_tools(settings, state.owners, hasher=state.hasher, key_hasher=state.key_hasher)
    state.onboarding = Onboarding(tools)
    state.lifecycle = make_lifecycle(settings, state.owners, state.redis)
    state.recorder = UsageRecorder(partial(write_events, state.database))


def _key_verifier(state: State, secret_key: str) -> KeyVerifier:
    return KeyVerifier(
        databases=state.databases,
        registry=state.registry,
        hasher=state.key_hasher,
        verified=VerifiedSecrets(state.redis, secret_key),
        secret_key=secret_key,
        prefix=state.settings.api_key_prefix,
    )


def _database(
    settings: Settings, url: str, *, pool_size: int | None = None, budget: ConnectionBudget | None = None
) -> Database:
    return Database(
        url,
        pool_size=pool_size or settings.database_pool_size,
        budget=budget,
        pool_timeout_seconds=settings.database_pool_timeout_seconds,
        statement_timeout_seconds=settings.statement_timeout_seconds,
        pooler=settings.database_pooler,
    )


def _dedicated_budget(settings: Settings) -> ConnectionBudget:
    return ConnectionBudget(settings.dedicated_max_connections, idle_seconds=settings.dedicated_idle_seconds)


def _dedicated_database(settings: Settings, budget: ConnectionBudget, tenant: TenantRef) -> Database:
    """A small pool that logs in as the tenant itself. Raises UnknownPlacement."""
    if tenant.placement not in settings.runtime_urls:
        raise UnknownPlacement
    url = tenant_login_url(
        settings.runtime_urls[tenant.placement], tenant.schema, settings.secret_key.get_secret_value()
    )
    return _database(settings, url, pool_size=settings.dedicated_pool_size, budget=budget)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    state = app.state
    state.recorder.start()
    state.last_used.start()
    state.key_ring.start()
    log.info("started", environment=state.settings.environment, version=state.settings.version)
    try:
        yield
    finally:
        await state.last_used.stop()
        await state.key_ring.stop()
        await state.recorder.stop()
        await state.epochs.close()
        await state.redis.aclose()
        await state.databases.close()
        await state.owners.close()
        state.hasher.close()
        state.key_hasher.close()
