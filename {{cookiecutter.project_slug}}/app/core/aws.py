"""Calls of AWS's APIs: bounded in time, retried when throttled; a fault is one line without what was sent.

boto3 is with the development requirements, so nothing that serves requests may import this.
"""

import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, Final

import boto3
from botocore import exceptions
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

CONNECT_SECONDS: Final = 3.0
READ_SECONDS: Final = 30.0
ATTEMPTS: Final = 5
# How AWS names one and the same thing, by service.
DENIED: Final = frozenset(
    {"403", "AccessDenied", "AccessDeniedException", "AuthorizationError", "UnauthorizedOperation"}
)
UNKNOWN_CALLER: Final = frozenset(
    {
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "RequestExpired",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
# Where a permission is not called as its operation is.
PERMISSIONS: Final = {"s3:HeadBucket": "s3:ListBucket", "s3:ListBuckets": "s3:ListAllMyBuckets"}
PREFIXES: Final = {"monitoring": "cloudwatch"}
LOG_IN: Final = "log in (`aws sso login`, `aws configure`) or set AWS_PROFILE"
SHORTEST_ECHO: Final = 8
LONGEST_MESSAGE: Final = 300


class AwsError(Exception):
    """A call that did not succeed. `code` is AWS's own, or the kind of the fault before it got there."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class AwsDenied(AwsError):
    """Whoever is logged in may not; `permission` is what they lack."""

    def __init__(self, permission: str, code: str) -> None:
        super().__init__(f"{permission} is not allowed ({code})", code)
        self.permission = permission


class AwsAway(AwsError):
    """AWS did not answer."""


class AwsCredentialsError(AwsError):
    """Nobody is logged in, or their credentials are not valid (any more)."""


class Aws:
    """AWS in one region, for whoever the environment or the profile says we are."""

    def __init__(self, region: str, *, attempts: int = ATTEMPTS) -> None:
        self.region = region
        self._attempts = attempts
        self._clients: dict[str, Any] = {}

    def call(self, service: str, operation: str, **parameters: Any) -> Any:
        """What an operation (`describe_vpcs`) answers. Raises AwsError."""
        try:
            client = self._client(service)
            return getattr(client, operation)(**parameters)
        except ClientError as error:
            raise refused(error, self._client(service), parameters) from None
        except (BotoCoreError, ResponseParserError) as error:
            raise fault_of(error, f"{service} {operation}") from None

    def pages(self, service: str, operation: str, key: str, **parameters: Any) -> list[Any]:
        """The items of all pages of what an operation lists under a key. Raises AwsError."""
        try:
            paginator = self._client(service).get_paginator(operation)
            return [item for page in paginator.paginate(**parameters) for item in page.get(key, [])]
        except ClientError as error:
            raise refused(error, self._client(service), parameters) from None
        except (BotoCoreError, ResponseParserError) as error:
            raise fault_of(error, f"{service} {operation}") from None

    @property
    def configured_region(self) -> str | None:
        """The region that the environment or the profile names, for commands that are told none."""
        # boto3 does not know the first of the two names, which the AWS CLI and Terraform prefer.
        return os.environ.get("AWS_REGION") or self._session.region_name

    def main_region(self) -> str:
        """The one that can be asked before others are enabled."""
        partition = self._session.get_partition_for_region(self.region)
        return {"aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"}.get(partition, "us-east-1")

    @cached_property
    def _session(self) -> Any:
        try:
            return boto3.session.Session()
        except BotoCoreError as error:
            raise fault_of(error, "the profile") from None

    def _client(self, service: str) -> Any:
        if service not in self._clients:
            patience = Config(
                connect_timeout=CONNECT_SECONDS,
                read_timeout=READ_SECONDS,
                retries={"mode": "standard", "total_max_attempts": self._attempts},
            )
            self._clients[service] = self._session.client(service, region_name=self.region, config=patience)
        return self._clients[service]


def refused(error: ClientError, client: Any, parameters: Mapping[str, Any]) -> AwsError:
    """A ClientError, as ours."""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", "unknown")
    code = str(error.response.get("Error", {}).get("Code") or status)
    message = str(error.response.get("Error", {}).get("Message", ""))
    if code in DENIED:
        prefix = client.meta.service_model.signing_name
        permission = f"{PREFIXES.get(prefix, prefix)}:{error.operation_name}"
        return AwsDenied(PERMISSIONS.get(permission, permission), code)
    if code in UNKNOWN_CALLER:
        return AwsCredentialsError(f"AWS does not accept the credentials ({code}): {LOG_IN}", code)
    said = without_values(message, parameters)
    return AwsError(f"{error.operation_name} failed: {code}" + (f": {said}" if said else ""), code)


def fault_of(error: BotoCoreError | ResponseParserError, operation: str) -> AwsError:
    """A BotoCoreError, as ours. Their texts repeat addresses and arguments, so only their kind is kept."""
    kind = type(error).__name__
    # What cannot be parsed did not come from AWS.
    away = (exceptions.ConnectionError, exceptions.HTTPClientError, ResponseParserError)
    if isinstance(error, away):
        return AwsAway(
            f"AWS did not answer ({operation}, {kind}): is there a network, and is no proxy between?", kind
        )
    nobody = (
        exceptions.ConfigNotFound,
        exceptions.ConfigParseError,
        exceptions.CredentialRetrievalError,
        exceptions.NoCredentialsError,
        exceptions.PartialCredentialsError,
        exceptions.ProfileNotFound,
        exceptions.SSOError,
        exceptions.TokenRetrievalError,
    )
    if isinstance(error, nobody):
        return AwsCredentialsError(f"no usable credentials of AWS ({kind}): {LOG_IN}", kind)
    return AwsError(f"{operation} failed before it was sent ({kind})", kind)


def without_values(message: str, parameters: Mapping[str, Any]) -> str:
    """What AWS said, in one line. Services quote values they refuse, and these may be secret."""
    said = " ".join(message.split())[:LONGEST_MESSAGE]
    if said.startswith("<"):
        return "(a page in HTML)"
    for value in texts(parameters):
        pieces = range(max(1, len(value) - SHORTEST_ECHO + 1))
        if len(value) >= SHORTEST_ECHO and any(value[at : at + SHORTEST_ECHO] in said for at in pieces):
            return "(its message repeats what was sent, so it is not shown)"
    return said


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield " ".join(value.split())
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from texts(item)
    elif isinstance(value, list | tuple | set):
        for item in value:
            yield from texts(item)
