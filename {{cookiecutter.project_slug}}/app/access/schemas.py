"""The bodies of the endpoints about roles, permissions and decisions."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    model_validator,
)

from app.access.conditions import ATTRIBUTE_PATTERN, MAX_INTEGER, MAX_TEXT
from app.access.policies import PERMISSION_PATTERN, RULE_PATTERN
from app.core.validation import RequestModel, Text, storable_text

MAX_RULES: Final = 64
ROLE_NAME_PATTERN: Final = r"^[a-z][a-z0-9_]{1,62}$"
EXAMPLE: Final[dict[str, Any]] = {
    "name": "editor",
    "description": "Reads everything, changes its own, and keeps away from what is archived.",
    "rules": [
        {"effect": "allow", "permission": "resources:read"},
        {"effect": "allow", "permission": "resources:update", "condition": {"owner": True}},
        {
            "effect": "deny",
            "permission": "resources:*",
            "condition": {"attribute": "data.state", "equals": "archived"},
        },
    ],
}

RoleName = Annotated[str, Field(pattern=ROLE_NAME_PATTERN)]
Description = Annotated[Text, Field(max_length=500)]
Permission = Annotated[str, Field(pattern=f"^{PERMISSION_PATTERN.pattern}$", max_length=130)]
EqualText = Annotated[StrictStr, AfterValidator(storable_text), Field(max_length=MAX_TEXT)]
EqualInteger = Annotated[StrictInt, Field(ge=-MAX_INTEGER, le=MAX_INTEGER)]


class OwnerCondition(RequestModel):
    """The object belongs to the person who calls; an API key owns nothing."""

    owner: Literal[True]


class AttributeCondition(RequestModel):
    """The attribute is exactly this text, whole number or truth value. `data.team` is a member of `data`."""

    attribute: Annotated[str, Field(pattern=f"^{ATTRIBUTE_PATTERN.pattern}$", max_length=MAX_TEXT)]
    equals: StrictBool | EqualInteger | EqualText


class RuleBody(RequestModel):
    """`*` stands for any resource or any action. What a rule denies, no other rule allows."""

    effect: Literal["allow", "deny"]
    permission: Annotated[str, Field(pattern=f"^{RULE_PATTERN.pattern}$", max_length=130)]
    condition: OwnerCondition | AttributeCondition | None = None


Rules = Annotated[list[RuleBody], Field(max_length=MAX_RULES)]


class RoleCreate(RequestModel):
    model_config = ConfigDict(json_schema_extra={"example": EXAMPLE})

    name: RoleName
    description: Description = ""
    rules: Rules

    def stored_rules(self) -> list[dict[str, Any]]:
        return [rule.model_dump(exclude_none=True) for rule in self.rules]


class RoleUpdate(RequestModel):
    """What is left out stays as it is; `rules` are replaced whole."""

    model_config = ConfigDict(json_schema_extra={"example": {"rules": EXAMPLE["rules"]}})

    description: Description | None = None
    rules: Rules | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.description is None and self.rules is None:
            raise ValueError("send `description`, `rules` or both")
        return self

    def changes(self) -> dict[str, Any]:
        """As they are stored."""
        return self.model_dump(exclude_none=True)


class RoleRead(BaseModel):
    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={
            "example": {
                **EXAMPLE,
                "is_default": False,
                "version": 1,
                "created_at": "2026-11-23T09:30:00Z",
                "updated_at": "2026-11-23T09:30:00Z",
            }
        },
    )

    name: str
    description: str
    rules: list[Any]
    is_default: bool
    version: int
    created_at: datetime
    updated_at: datetime


class PermissionRead(BaseModel):
    """`conditional`: rules about it may have conditions."""

    model_config = ConfigDict(from_attributes=True)

    permission: str
    conditional: bool
    routes: list[str]


class PermissionList(BaseModel):
    items: list[PermissionRead]


class DecidingRule(BaseModel):
    """`index` counts the role's rules from 0."""

    index: int
    effect: Literal["allow", "deny"]
    permission: str
    condition: dict[str, Any] | None


class ExplanationRead(BaseModel):
    """`rules` decided: one that allows or denies for all objects, or all that depend on the object."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "permission": "resources:update",
                "outcome": "conditional",
                "reason": "Rule 1 allows it for some objects, and rule 2 denies it for some.",
                "role": "editor",
                "scopes": None,
                "rules": [{"index": index, "condition": None, **EXAMPLE["rules"][index]} for index in (1, 2)],
            }
        }
    )

    permission: str
    outcome: Literal["allowed", "conditional", "denied"]
    reason: str
    role: str
    scopes: list[str] | None
    rules: list[DecidingRule]
