"""SSM: the public parameters that name Debian's newest images."""

from datetime import UTC, datetime
from typing import Any

from moto.ssm.models import Parameter, ParameterDict

from tests.aws_emulator.patching import around

PREFIX = "/aws/service/debian/release/"
# One that the emulator has.
IMAGE = "ami-12c6146b"


def apply() -> None:
    @around(ParameterDict, "_check_loading_status")
    def load(original: Any, parameters: ParameterDict, key: str) -> None:
        original(parameters, key)
        if str(key or "").startswith(PREFIX) and not dict.get(parameters, key):
            parameter = Parameter(  # type: ignore[abstract]
                account_id=parameters.account_id, name=key, value=IMAGE, parameter_type="String",
                description=None, allowed_pattern=None, keyid=None,
                last_modified_date=datetime.now(UTC), version=1, data_type="aws:ec2:image",
            )  # fmt: skip
            dict.__setitem__(parameters, key, [parameter])
