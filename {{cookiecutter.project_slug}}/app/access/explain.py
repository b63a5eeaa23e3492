"""Says which rule of a role decides about a permission, and why: pure, and the same answer as `decide`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from app.access.policies import CompiledPolicy, Rule, scopes_allow


@dataclass(frozen=True, slots=True)
class Explanation:
    """`rules` are those that decided, with their places in the role."""

    outcome: Literal["allowed", "conditional", "denied"]
    reason: str
    rules: tuple[tuple[int, Rule], ...] = ()


def explain(
    policy: CompiledPolicy | None, role: str, scopes: Sequence[str] | None, permission: str
) -> Explanation:
    """Of a role's rules, None when there is no such role, narrowed by the scopes of an API key."""
    if policy is None:
        return Explanation("denied", f"There is no role {role}.")
    matching = [(index, rule) for index, rule in enumerate(policy.rules) if rule.matches(permission)]
    outright = {rule.effect: (index, rule) for index, rule in reversed(matching) if rule.condition is None}
    if "deny" in outright:
        index, _ = outright["deny"]
        return Explanation("denied", f"Rule {index} denies it, and deny wins.", (outright["deny"],))
    some = {
        effect: [
            (index, rule) for index, rule in matching if rule.condition is not None and rule.effect == effect
        ]
        for effect in ("allow", "deny")
    }
    if "allow" not in outright and not some["allow"]:
        return Explanation("denied", f"No rule of the role {role} allows it.")
    if not scopes_allow(scopes, permission):
        return Explanation(
            "denied", f"The role {role} allows it, but the scopes of the API key leave it out."
        )
    if "allow" in outright and not some["deny"]:
        index, _ = outright["allow"]
        return Explanation("allowed", f"Rule {index} allows it, and none denies it.", (outright["allow"],))
    allowing = [outright["allow"]] if "allow" in outright else some["allow"]
    return Explanation(
        "conditional",
        _of_some_objects(allowing, some["deny"], outright="allow" in outright),
        tuple(sorted([*allowing, *some["deny"]], key=lambda placed: placed[0])),
    )


def _of_some_objects(
    allowing: list[tuple[int, Rule]], denying: list[tuple[int, Rule]], *, outright: bool
) -> str:
    allowed = f"{_subject(allowing, 'allow')} it" + ("" if outright else " for some objects")
    told = f"{allowed}, and {_subject(denying, 'deny')} it for some." if denying else f"{allowed}."
    return told[0].upper() + told[1:]


def _subject(rules: list[tuple[int, Rule]], verb: Literal["allow", "deny"]) -> str:
    if len(rules) == 1:
        return f"rule {rules[0][0]} {'allows' if verb == 'allow' else 'denies'}"
    return f"rules {', '.join(str(index) for index, _ in rules)} {verb}"
