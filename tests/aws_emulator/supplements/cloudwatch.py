"""CloudWatch: composite alarms."""

from typing import Any

from moto.cloudwatch.responses import CloudWatchResponse as Response
from moto.core.responses import ActionResult

from tests.aws_emulator.patching import around


def apply() -> None:
    Response.put_composite_alarm = Response.put_metric_alarm  # type: ignore[attr-defined]

    @around(Response, "describe_alarms")
    def describe(original: Any, response: Any) -> ActionResult:
        """Under the name that their answer has; only the kinds that are asked for."""
        answer: ActionResult = original(response)
        found: dict[str, Any] = answer.result  # type: ignore[assignment]
        for alarm in found["CompositeAlarms"]:
            alarm.alarm_rule = alarm.rule
        kinds = response._get_param("AlarmTypes") or ["MetricAlarm"]
        return ActionResult({name: alarms if name[:-1] in kinds else [] for name, alarms in found.items()})
