"""RDS: subnet groups that outlast their change."""

from typing import Any

from moto.rds.models import RDSBackend

from tests.aws_emulator.patching import around


def apply() -> None:
    @around(RDSBackend, "modify_db_subnet_group")
    def keep(original: Any, backend: Any, name: str, *arguments: Any, **named: Any) -> Any:
        """moto takes the group out and forgets it."""
        group = original(backend, name, *arguments, **named)
        backend.subnet_groups[name] = group
        return group
