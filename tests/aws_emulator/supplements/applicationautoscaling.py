"""Application Auto Scaling: the tags of a scalable target."""

import json
from typing import Any

from moto.applicationautoscaling.models import ApplicationAutoscalingBackend
from moto.applicationautoscaling.responses import ApplicationAutoScalingResponse as Response

from tests.aws_emulator.patching import around


def apply() -> None:
    @around(ApplicationAutoscalingBackend, "__init__")
    def begin(original: Any, backend: Any, *arguments: Any, **named: Any) -> None:
        original(backend, *arguments, **named)
        backend.target_tags = {}

    @around(Response, "register_scalable_target")
    def register(original: Any, response: Any) -> str:
        answer: str = original(response)
        arn = json.loads(answer)["ScalableTargetARN"]
        tags_of(response, arn).update(response._get_param("Tags", {}))
        return answer

    Response.list_tags_for_resource = list_tags_for_resource  # type: ignore[attr-defined]
    Response.tag_resource = tag_resource  # type: ignore[attr-defined]
    Response.untag_resource = untag_resource  # type: ignore[attr-defined]


def tags_of(response: Any, arn: str) -> dict[str, str]:
    tags: dict[str, str] = response.applicationautoscaling_backend.target_tags.setdefault(arn, {})
    return tags


def list_tags_for_resource(response: Any) -> str:
    return json.dumps({"Tags": tags_of(response, response._get_param("ResourceARN"))})


def tag_resource(response: Any) -> str:
    tags_of(response, response._get_param("ResourceARN")).update(response._get_param("Tags"))
    return "{}"


def untag_resource(response: Any) -> str:
    for key in response._get_param("TagKeys"):
        tags_of(response, response._get_param("ResourceARN")).pop(key, None)
    return "{}"
