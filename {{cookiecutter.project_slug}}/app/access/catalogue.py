"""The permissions that the routes declare: what a rule may name, and which of them know conditions."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from fastapi import FastAPI
from fastapi.routing import APIRoute

from app.access.errors import ConditionNotEvaluated, UnknownPermission
from app.access.policies import PERMISSION_PATTERN, Rule
from app.access.requirements import declared_access, evaluates_conditions
from app.core.openapi import api_routes


@dataclass(frozen=True, slots=True)
class DeclaredPermission:
    """`conditional` means that every route with it holds conditions against its objects."""

    permission: str
    conditional: bool
    routes: tuple[str, ...]


class PermissionCatalogue:
    def __init__(self, permissions: Mapping[str, DeclaredPermission]) -> None:
        self._permissions = dict(permissions)

    @classmethod
    def of(cls, app: FastAPI) -> Self:
        """Walks the routes that the application has now."""
        routes: dict[str, list[str]] = {}
        unconditional: set[str] = set()
        for route in api_routes(app):
            access = declared_access(route.endpoint)
            if access is None or not PERMISSION_PATTERN.fullmatch(access):
                continue
            routes.setdefault(access, []).extend(
                f"{method} {route.path}" for method in sorted(route.methods or ())
            )
            original = route.original_route
            if not isinstance(original, APIRoute) or not evaluates_conditions(original):
                unconditional.add(access)
        return cls(
            {
                name: DeclaredPermission(name, name not in unconditional, tuple(routes[name]))
                for name in routes
            }
        )

    def all(self) -> list[DeclaredPermission]:
        """By name."""
        return [self._permissions[name] for name in sorted(self._permissions)]

    def refuse_unknown(self, patterns: Iterable[str]) -> None:
        """Raises UnknownPermission, which lists the known ones; a wildcard may match what is yet to come."""
        unknown = sorted(
            {pattern for pattern in patterns if "*" not in pattern and pattern not in self._permissions}
        )
        if unknown:
            raise UnknownPermission(
                f"No route declares {', '.join(unknown)}.", unknown=unknown, known=sorted(self._permissions)
            )

    def refuse_unfit(self, rules: Iterable[Rule]) -> None:
        """Raises UnknownPermission; ConditionNotEvaluated for a condition that no route would keep."""
        rules = tuple(rules)
        self.refuse_unknown(rule.permission for rule in rules)
        for rule in rules:
            known = self._permissions.get(rule.permission)
            if rule.condition is not None and known is not None and not known.conditional:
                able = [permission.permission for permission in self.all() if permission.conditional]
                raise ConditionNotEvaluated(
                    f"No route with {rule.permission} evaluates conditions.", conditional=able
                )
