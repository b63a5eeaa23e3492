"""AWS as the commands of the deployment call it. What is secret stays in this process."""

from functools import cache
from typing import Any

from app.core.aws import Aws, AwsError
from tools.deploy import common
from tools.deploy.common import Refusal


def aws(service: str, operation: str, **parameters: Any) -> Any:
    """What AWS answers, in the project's region. Raises Refusal, which holds nothing of what was sent."""
    try:
        return account().call(service, operation, **parameters)
    except AwsError as error:
        raise Refusal(str(error)) from None


def known(service: str, operation: str, missing: str, **parameters: Any) -> Any:
    """As `aws`; None where AWS answers with the code that says there is no such thing."""
    try:
        return account().call(service, operation, **parameters)
    except AwsError as error:
        if error.code == missing:
            return None
        raise Refusal(str(error)) from None


@cache
def account() -> Aws:
    return Aws(common.value_of("region"))
