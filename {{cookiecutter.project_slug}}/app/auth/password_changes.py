"""A person changes the password of their own account."""

from functools import partial

from app.auth import service
from app.auth.errors import UnacceptablePassword, WrongPassword
from app.auth.passwords import PasswordHasher, WeakPassword, validate_password
from app.core.context import Principal, TenantRef
from app.core.database import TenantDatabases, on_commit
from app.core.epochs import ChangeEpochs
from app.limits.failures import FailureThrottle
from app.users import service as users


class PasswordChanges:
    """No database connection is held while a password is being hashed."""

    def __init__(
        self,
        *,
        databases: TenantDatabases,
        epochs: ChangeEpochs,
        throttle: FailureThrottle,
        hasher: PasswordHasher,
        service_name: str,
    ) -> None:
        self._databases = databases
        self._epochs = epochs
        self._throttle = throttle
        self._hasher = hasher
        self._service_name = service_name

    async def change(self, tenant: TenantRef, principal: Principal, *, current: str, new: str) -> None:
        """Ends all sessions but the one that asks, and voids what was mailed.

        Raises WrongPassword, UnacceptablePassword, and TooManyFailures, which counts as the login does.
        """
        async with self._databases.tenant(tenant) as session:
            account = await users.find_account(session, principal.subject)
        if account is None:
            raise WrongPassword
        try:
            validate_password(
                new, context=(account.email, account.full_name, tenant.slug, self._service_name)
            )
        except WeakPassword as error:
            raise UnacceptablePassword(f"new_password {error}.") from None
        await self._throttle.attempt(tenant.slug, account.email)
        result = await self._hasher.verify(current, account.password_hash)
        if account.password_hash is None or not result.valid:
            raise WrongPassword
        new_hash = await self._hasher.hash(new)
        async with self._databases.tenant(tenant) as session:
            # The user first: a login that is under way waits here and is refused, or was ended below.
            if not await users.replace_password(
                session, principal.subject, old_hash=account.password_hash, new_hash=new_hash
            ):
                raise WrongPassword
            await service.end_sessions(session, principal.subject, but=principal.session_id)
            await service.void_one_time_tokens(session, principal.subject)
            on_commit(session, partial(self._epochs.principal_changed, tenant.id, principal.subject))
            await service.record_password_change(session, principal.subject)
        await self._throttle.succeed(tenant.slug, account.email)
