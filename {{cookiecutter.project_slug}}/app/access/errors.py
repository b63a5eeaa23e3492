"""What can go wrong with roles, and with giving rights."""

from app.core.errors import AppError, Conflict, Forbidden, NotFound, Unprocessable


class RoleNotFound(NotFound):
    slug = "role-not-found"
    title = "There is no such role"


class RoleNameTaken(Conflict):
    slug = "role-name-taken"
    title = "A role with this name exists"


class RoleInUse(Conflict):
    slug = "role-in-use"
    title = "The role is given to people or API keys"


class DefaultRole(Conflict):
    slug = "default-role"
    title = "A default role stays as it is"


class TooManyRoles(Conflict):
    slug = "too-many-roles"
    title = "The tenant has as many roles as it may have"


class RoleChanged(AppError):
    status = 412
    slug = "role-changed"
    title = "The role was changed since you read it"


class UnknownRole(Unprocessable):
    slug = "unknown-role"
    title = "There is no role of this name"


class UnknownPermission(Unprocessable):
    slug = "unknown-permission"
    title = "No route declares this permission"


class ConditionNotEvaluated(Unprocessable):
    slug = "condition-not-evaluated"
    title = "No route with this permission evaluates conditions"


class PrivilegeEscalation(Forbidden):
    slug = "privilege-escalation"
    title = "Nobody may give, change or take away rights that they do not have themselves"
