"""`make cache-user` and `make secrets`: makes what is secret and puts it into AWS, from this process alone.

What has a value already keeps it, so both may run again. Nothing secret is printed, stored or an argument.
"""

import json
import secrets
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from app.auth.key_folder import bundle, key_file
from app.auth.key_ring import CURRENT, new_private_pem
from tools.deploy import common
from tools.deploy.cloud import aws, known
from tools.deploy.common import refuse
from tools.deploy.stacks import Stack

# All but what endangers others; Lua is what the rate limiter runs.
CACHE_ACCESS = "on ~* &* +@all -@dangerous +info"


def cache_user() -> None:
    """The user of the cache, before the stack platform; its password is kept beside it."""
    name = f"{common.value_of('slug')}-{common.environment()}"
    secret, user = f"{name}/cache-user", f"{name}-app"
    if there := known("elasticache", "describe_users", "UserNotFound", UserId=user):
        if there["Users"][0]["Status"] == "deleting":
            refuse(f"{user} is being deleted: run this again when it is gone")
        say(f"{user} exists already; nothing was changed")
        return
    password = secrets.token_urlsafe(36)
    # First the secret: a user whose password nobody has could only be deleted again.
    keep(secret, json.dumps({"username": "app", "password": password}))
    aws(
        "elasticache",
        "create_user",
        UserId=user,
        UserName="app",
        Engine="valkey",
        AccessString=CACHE_ACCESS,
        AuthenticationMode={"Type": "password", "Passwords": [password]},
    )
    say(f"{user} is made; its password is in {secret}")


def keep(secret: str, value: str) -> None:
    """Raises Refusal when it waits for its deletion, and then takes no value."""
    described = known("secretsmanager", "describe_secret", "ResourceNotFoundException", SecretId=secret)
    if described is None:
        aws("secretsmanager", "create_secret", Name=secret, SecretString=value)
    elif described.get("DeletedDate"):
        refuse(f"{secret} waits for its deletion: `aws secretsmanager restore-secret --secret-id {secret}`")
    else:
        aws("secretsmanager", "put_secret_value", SecretId=secret, SecretString=value)


def fill() -> None:
    """The secrets that the stack platform made empty."""
    stack = Stack("platform", common.environment())
    outputs = stack.outputs()
    if "secrets" not in outputs:
        refuse(f"STACK=platform ENV={stack.environment} is not applied yet")
    arns = outputs["secrets"]["arns"]
    name = f"{common.value_of('slug')}-{stack.environment}"
    for secret, make in makers(outputs, f"{name}/cache-user").items():
        # RDS changes the master's password every week, so this one is always written anew.
        if secret != "superuser_database_url" and has_value(arns[secret]):  # noqa: S105
            say(f"{secret:24} kept")
            continue
        aws("secretsmanager", "put_secret_value", SecretId=arns[secret], SecretString=make())
        say(f"{secret:24} written")


def makers(outputs: dict[str, Any], cache_secret: str) -> dict[str, Callable[[], str]]:
    """By the name of the secret, what makes its value."""
    database, cache = outputs["database"], outputs["cache"]

    def postgresql(user: str, password: str, name: str) -> str:
        where = f"{database['endpoint']}:{database['port']}/{name}?sslmode=require"
        return f"postgresql://{user}:{quote(password, safe='')}@{where}"

    def new_login(user: str) -> str:
        return postgresql(user, secrets.token_urlsafe(36), database["name"])

    def superuser() -> str:
        login = json.loads(value_of(database["master_secret_arn"]))
        return postgresql(login["username"], login["password"], "postgres")

    def redis() -> str:
        login = json.loads(value_of(cache_secret))
        return f"rediss://{login['username']}:{login['password']}@{cache['endpoint']}:{cache['port']}/0"

    return {
        "database_url": lambda: new_login("app_runtime"),
        "first_admin_password": lambda: secrets.token_urlsafe(24),
        "jwt_keys": signing_keys,
        "migration_database_url": lambda: new_login("app_owner"),
        "redis_url": redis,
        "secret_key": lambda: secrets.token_hex(32),
        "superuser_database_url": superuser,
    }


def signing_keys() -> str:
    """A first key; `app keys rotate --secret` makes those after it."""
    return bundle({CURRENT: key_file(new_private_pem(), datetime.now(UTC))})


def has_value(arn: str) -> bool:
    described = aws("secretsmanager", "describe_secret", SecretId=arn)
    return any("AWSCURRENT" in stages for stages in (described.get("VersionIdsToStages") or {}).values())


def value_of(secret: str) -> str:
    return str(aws("secretsmanager", "get_secret_value", SecretId=secret)["SecretString"])


def say(text: str) -> None:
    sys.stderr.write(text + "\n")


def main(command: str) -> None:
    {"cache-user": cache_user, "fill": fill}[command]()


if __name__ == "__main__":
    common.run(main)
