"""IAM: a statement with conditions says nothing where the conditions cannot be known."""

from typing import Any

from moto.iam.access_control import IAMPolicyStatement, PermissionResult

from tests.aws_emulator.patching import around


def apply() -> None:
    @around(IAMPolicyStatement, "is_action_permitted")
    def judge(original: Any, statement: Any, *arguments: Any, **named: Any) -> PermissionResult:
        # Of requests to buckets none are known: moto would refuse everybody what is denied without TLS.
        is_denial = statement._statement.get("Effect") == "Deny"
        if is_denial and "Condition" in statement._statement:
            return PermissionResult.NEUTRAL
        result: PermissionResult = original(statement, *arguments, **named)
        return result
