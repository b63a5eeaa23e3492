"""Reads `terraform show -json` of a plan: resources, what is not known of them yet, and references."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

INDEX = re.compile(r"\[[^\]]*\]")


@dataclass(frozen=True)
class Resource:
    """`unknown` marks, in the shape of the values, what only an apply will tell."""

    address: str
    type: str
    values: dict[str, Any]
    unknown: dict[str, Any]
    expressions: dict[str, Any]

    @property
    def declared(self) -> str:
        """The address of its declaration, which it may share with other instances."""
        return INDEX.sub("", self.address)

    def has(self, name: str) -> bool:
        """A value, or one that is given and will be known; not one that is left to AWS."""
        return bool(self.values.get(name)) or bool(self.unknown.get(name) and name in self.expressions)

    def blocks(self, name: str) -> list[dict[str, Any]]:
        return [block for block in self.values.get(name) or [] if isinstance(block, dict)]

    def refers_to(self, argument: str) -> set[str]:
        """Declarations, in the same module, that an argument is made from."""
        module = self.declared.rpartition(f"{self.type}.")[0]
        found = references(self.expressions.get(argument, {}))
        return {module + ".".join(name.split(".")[:2]) for name in found if name.startswith("aws_")}


def resources(plan: dict[str, Any], *types: str) -> Iterator[Resource]:
    """Those that will exist when the plan is carried out."""
    declared = dict(declarations(plan["configuration"]["root_module"]))
    for change in plan.get("resource_changes", []):
        after = change["change"]["after"]
        if change["mode"] != "managed" or after is None or (types and change["type"] not in types):
            continue
        expressions = declared.get(INDEX.sub("", change["address"]), {})
        unknown = change["change"].get("after_unknown") or {}
        yield Resource(change["address"], change["type"], after, unknown, expressions)


def declarations(module: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Address and expressions of every declaration, data sources among them."""
    for declared in module.get("resources", []):
        yield prefix + declared["address"], declared.get("expressions", {})
    for name, call in module.get("module_calls", {}).items():
        yield from declarations(call.get("module", {}), f"{prefix}module.{name}.")


def references(expression: Any) -> Iterator[str]:
    if isinstance(expression, dict):
        yield from expression.get("references", [])
        for inner in expression.values():
            yield from references(inner)
    elif isinstance(expression, list):
        for inner in expression:
            yield from references(inner)


def statements(plan: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Address, argument and statement of every policy that is known."""
    for resource in resources(plan):
        for argument, text in strings(resource.values):
            if '"Statement"' not in text:
                continue
            found = json.loads(text)["Statement"]
            for statement in found if isinstance(found, list) else [found]:
                yield resource.address, argument, statement


def documents(plan: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Statements of policy documents as far as they are constant: they can be judged before an apply."""
    for address, expressions in declarations(plan["configuration"]["root_module"]):
        if "data.aws_iam_policy_document." in address:
            for block in expressions.get("statement", []):
                constants = {
                    name: argument.get("constant_value")
                    for name, argument in block.items()
                    if isinstance(argument, dict)
                }
                yield (
                    address,
                    {
                        "Effect": constants.get("effect") or "Allow",
                        "Action": constants.get("actions") or [],
                        "Resource": constants.get("resources") or [],
                    },
                )


def strings(values: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Every text with the argument that holds it."""
    if isinstance(values, str):
        yield name, values
    elif isinstance(values, dict):
        for key, inner in values.items():
            yield from strings(inner, key)
    elif isinstance(values, list):
        for inner in values:
            yield from strings(inner, name)


def listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
