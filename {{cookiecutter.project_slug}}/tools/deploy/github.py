"""`make github-variables [ENV=…]`: what GitHub's workflows must know of AWS, from Terraform's outputs.

Shows the commands that set it; with APPLY=1 they are run. None of it is secret.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator

from tools.deploy import common
from tools.deploy.common import ENVIRONMENTS, refuse
from tools.deploy.stacks import Stack

ROLE = re.compile(r"arn:[^:]+:iam::(\d{12}):role/\S+")


def main() -> None:
    """Raises Refusal when no role was made yet, or gh is missing or fails."""
    chosen = common.environment(needed=False)
    outputs = Stack.of_account(chosen).outputs()
    roles = outputs.get("role_arns")
    if roles is None:
        refuse("STACK=bootstrap is not applied yet")
    if not roles:
        refuse("workflows have no roles: set github_repository in common.tfvars and apply STACK=bootstrap")
    environments = [one for one in ENVIRONMENTS if f"{one}-deploy" in roles and chosen in {"", one}]
    if not environments:
        refuse(f"ENV={chosen}: the stack bootstrap of this account made no role for it")
    commands = [*of_environments(roles, environments)]
    if not chosen:
        commands = [*of_repository(roles, outputs["repository_url"]), *commands]
    for command in commands:
        if os.environ.get("APPLY"):
            run(command)
        else:
            sys.stdout.write(shlex.join(command) + "\n")


def run(command: list[str]) -> None:
    """Raises Refusal."""
    gh = common.tool(command[0], "https://cli.github.com")
    if subprocess.run([gh, *command[1:]], check=False).returncode:
        refuse(f"`{shlex.join(command)}` failed; its message stands above")


def of_repository(roles: dict[str, str], repository_url: str) -> Iterator[list[str]]:
    """What all workflows share."""
    account = ROLE.fullmatch(roles["build"])
    yield set_variable("AWS_REGION", common.value_of("region"))
    yield set_variable("AWS_ACCOUNT_ID", account[1] if account else refuse("the role `build` has no ARN"))
    yield set_variable("AWS_BUILD_ROLE_ARN", roles["build"])
    yield set_variable("ECR_REPOSITORY_URL", repository_url)


def of_environments(roles: dict[str, str], environments: list[str]) -> Iterator[list[str]]:
    """An environment of GitHub's that plans and one that deploys, as the roles' subjects name them."""
    for environment in environments:
        yield set_variable("AWS_PLAN_ROLE_ARN", roles[f"{environment}-plan"], f"{environment}-plan")
        yield set_variable("AWS_DEPLOY_ROLE_ARN", roles[f"{environment}-deploy"], environment)
        # As the stack platform names it.
        yield set_variable("ECS_CLUSTER", f"{common.value_of('slug')}-{environment}", environment)


def set_variable(name: str, value: str, environment: str = "") -> list[str]:
    where = ["--env", environment] if environment else []
    return ["gh", "variable", "set", name, "--repo", repository(), *where, "--body", value]


def repository() -> str:
    """Without the numbers that the subjects of tokens may carry."""
    return re.sub(r"@\d+", "", common.value_of("github_repository"))


if __name__ == "__main__":
    common.run(main)
