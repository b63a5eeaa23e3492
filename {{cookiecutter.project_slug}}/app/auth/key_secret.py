"""The key files as a secret in AWS Secrets Manager, from which ECS gives them to a process as APP_JWT_KEYS.

It needs boto3, so nothing that serves requests may import this.
"""

import json
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID, uuid5

from pydantic import SecretStr

from app.auth.key_folder import KeyFile, KeyFiles, bundle, unbundled
from app.auth.key_ring import KeyRingError
from app.core.aws import Aws, AwsError
from app.core.settings import key_files

REPLACES: Final = UUID("6f0e6a3c-51f0-4a7c-9d0b-0d3f8f0a5b1e")


@dataclass(frozen=True, slots=True)
class Version:
    """What a secret held when it was read. `state` tells of all its versions which was the current one."""

    state: str
    files: dict[str, KeyFile]


class KeySecret:
    """One secret, by its name or ARN. No value of it is ever in a message."""

    def __init__(self, secret_id: str) -> None:
        self.id = secret_id
        parts = secret_id.split(":")
        region = parts[3] if len(parts) > 3 and parts[0] == "arn" else Aws("").configured_region
        if not region:
            raise KeyRingError(f"{secret_id}: in which region? Give its ARN, or set AWS_REGION")
        self._aws = Aws(region)

    def read(self) -> Version | None:
        """What it holds now, or None when it is empty. Raises KeyRingError."""
        described = self._ask("describe_secret")
        if described.get("DeletedDate"):
            raise KeyRingError(
                f"{self.id}: waits for its deletion, which `aws secretsmanager restore-secret` ends"
            )
        versions = described.get("VersionIdsToStages") or {}
        current = [version for version, stages in versions.items() if "AWSCURRENT" in stages]
        if not current:
            return None
        held = self._ask("get_secret_value", VersionId=current[0])
        try:
            contents = key_files(SecretStr(held.get("SecretString", "")))
        except ValueError as error:
            raise KeyRingError(f"{self.id}: {error}") from None
        state = json.dumps({version: sorted(stages) for version, stages in sorted(versions.items())})
        return Version(state, unbundled(contents, self.id, held["CreatedDate"]))

    def write(self, files: KeyFiles, *, replacing: Version | None) -> None:
        """Make these the files, unless somebody else has changed them since. Raises KeyRingError.

        A version's id is chosen by whoever writes it, and one that is taken is refused unless it holds the
        same: two who have read the same choose the same id, so the second cannot undo the first.
        """
        token = str(uuid5(REPLACES, replacing.state if replacing else "nothing"))
        self._ask("put_secret_value", SecretString=bundle(files), ClientRequestToken=token)

    def _ask(self, operation: str, **parameters: Any) -> Any:
        try:
            return self._aws.call("secretsmanager", operation, SecretId=self.id, **parameters)
        except AwsError as error:
            said = {
                "ResourceNotFoundException": "no such secret; the stack platform makes it",
                "ResourceExistsException": "somebody else has just changed it; `keys list` shows it",
            }.get(error.code, str(error))
            raise KeyRingError(f"{self.id}: {said}") from None
