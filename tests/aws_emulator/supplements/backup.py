"""Backup: selections of a plan, the (absent) recovery points of a vault, tags asked for without a slash."""

import json
import uuid
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from moto.backup import urls
from moto.backup.exceptions import ResourceNotFoundException
from moto.backup.models import BackupBackend
from moto.backup.responses import BackupResponse as Response
from moto.core.common_models import BaseModel

from tests.aws_emulator.patching import around


class Selection(BaseModel):
    def __init__(self, plan_id: str, chosen: dict[str, Any]) -> None:
        self.id = str(uuid.uuid4())
        self.plan_id = plan_id
        self.chosen = chosen
        self.created = datetime.now(UTC).timestamp()

    def told(self) -> dict[str, Any]:
        return {"BackupPlanId": self.plan_id, "SelectionId": self.id, "CreationDate": self.created}


def apply() -> None:
    @around(BackupBackend, "__init__")
    def begin(original: Any, backend: Any, *arguments: Any, **named: Any) -> None:
        original(backend, *arguments, **named)
        backend.selections = {}

    urls.url_paths["{0}/backup-vaults/(?P<name>[^/]+)/recovery-points/$"] = urls.response.dispatch
    for function in (
        create_backup_selection, get_backup_selection, list_backup_selections, delete_backup_selection,
        list_recovery_points_by_backup_vault, list_tags,
    ):  # fmt: skip
        setattr(Response, function.__name__, function)


def parts(response: Any) -> list[str]:
    """Plan and selection of the path `/backup/plans/PLAN/selections/SELECTION`."""
    return [part for part in unquote(response.path).split("/") if part and part != "selections"][2:]


def create_backup_selection(response: Any) -> str:
    selection = Selection(parts(response)[0], json.loads(response.body)["BackupSelection"])
    response.backup_backend.selections[selection.id] = selection
    return json.dumps(selection.told())


def found(response: Any) -> Selection:
    selections: dict[str, Selection] = response.backup_backend.selections
    identifier = parts(response)[1]
    if identifier not in selections:
        raise ResourceNotFoundException(f"Cannot find selection {identifier}")
    return selections[identifier]


def get_backup_selection(response: Any) -> str:
    selection = found(response)
    return json.dumps(selection.told() | {"BackupSelection": selection.chosen})


def list_backup_selections(response: Any) -> str:
    chosen = [
        selection.told()
        | {"SelectionName": selection.chosen["SelectionName"], "IamRoleArn": selection.chosen["IamRoleArn"]}
        for selection in response.backup_backend.selections.values()
        if selection.plan_id == parts(response)[0]
    ]
    return json.dumps({"BackupSelectionsList": chosen})


def delete_backup_selection(response: Any) -> str:
    response.backup_backend.selections.pop(found(response).id)
    return "{}"


def list_recovery_points_by_backup_vault(response: Any) -> str:
    return json.dumps({"RecoveryPoints": []})


def list_tags(response: Any) -> str:
    arn = unquote(response.path).rstrip("/").partition("/tags/")[2]
    return json.dumps({"Tags": response.backup_backend.list_tags(resource_arn=arn)})
