"""The facts about a request that the gateway establishes and everything behind it may read."""

from dataclasses import dataclass
from typing import Final, Literal
from uuid import UUID

DEFAULT_PLACEMENT: Final = "default"

PrincipalKind = Literal["user", "api_key"]


@dataclass(frozen=True, slots=True)
class TenantRef:
    """A tenant as the registry knows it.

    `schema` names both the PostgreSQL schema and the NOLOGIN role that owns the tenant's rights; it is
    derived from the opaque id, never from a customer's name, because every role can list schema names.
    `placement` names the database it lives on; a `dedicated` tenant has a login and a pool of its own.
    `epoch` is the version of this row: Redis holds the newest, so that an old copy is noticed.
    """

    id: UUID
    slug: str
    schema: str
    plan: str
    state: str
    placement: str = DEFAULT_PLACEMENT
    dedicated: bool = False
    epoch: int = 1
    moving: bool = False


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is calling, as proven by a verified credential.

    `subject` is the user's id or the API key's id, by `kind`. `role` names the RBAC policy that applies.
    `scopes` narrows an API key below its role; None means no narrowing. `actor_id` is the operator who acts
    as this user; such a principal must not be let near the user's credentials. `session_id` is the session of
    a person, and None for an API key and behind an operator.
    """

    tenant_id: UUID
    subject: UUID
    kind: PrincipalKind
    role: str
    key_id: UUID | None = None
    scopes: tuple[str, ...] | None = None
    actor_id: UUID | None = None
    session_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class OperatorRef:
    """A person who runs the platform, as proven by an operator's token: never a principal of a tenant.

    `epoch` grows whenever everything issued to the operator before must end.
    """

    id: UUID
    email: str
    epoch: int


def tenant_schema(tenant_id: UUID) -> str:
    """The schema and role name of a tenant: `t_` and the 32 hex digits of its id."""
    return f"t_{tenant_id.hex}"
