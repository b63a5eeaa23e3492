"""`make task TASK=migrate ENV=…`: runs a one-off task in the cloud, waits for it and shows what it said."""

import json
import os
import sys
import time
from typing import Any

from tools.deploy import common
from tools.deploy.common import aws, refuse
from tools.deploy.stacks import Stack

INTERVAL_SECONDS = 5
LONGEST_SECONDS = 3600


def main() -> None:
    """Raises Refusal when there is no such task, or it did not end well."""
    stack, task = Stack("service", common.environment()), os.environ.get("TASK", "")
    if not task:
        refuse("TASK=(nothing): give the name of a task, such as TASK=migrate")
    outputs = json.loads(stack.terraform("output", "-json", capture=True))
    known = outputs.get("run_task", {}).get("value", {})
    if task not in known:
        refuse(f"TASK={task}: {' or '.join(sorted(known)) or 'apply STACK=service first'}")
    started = aws("ecs", "run-task", given=known[task])
    if started["failures"] or not started["tasks"]:
        refuse(f"{task} was not started: {started['failures']}")
    arn = started["tasks"][0]["taskArn"]
    stopped = wait(known[task]["cluster"], arn)
    show_logs(outputs["log_group_names"]["value"][task], f"{task}/{task}/{arn.rsplit('/', 1)[-1]}")
    container = stopped["containers"][0]
    if container.get("exitCode") != 0:
        reason = container.get("reason") or stopped.get("stoppedReason") or "no reason given"
        refuse(f"{task} ended with exit code {container.get('exitCode', '(none)')}: {reason}")


def wait(cluster: str, arn: str) -> dict[str, Any]:
    deadline = time.monotonic() + LONGEST_SECONDS
    while time.monotonic() < deadline:
        answer = aws("ecs", "describe-tasks", "--cluster", cluster, "--tasks", arn)
        found: dict[str, Any] = answer["tasks"][0]
        if found["lastStatus"] == "STOPPED":
            return found
        time.sleep(INTERVAL_SECONDS)
    return refuse(f"{arn} still runs after an hour; it goes on, look at its log")


def show_logs(group: str, stream: str) -> None:
    """A task that never started has no stream; what is wrong stands in its reason then."""
    asked = {"logGroupName": group, "logStreamNamePrefix": stream}
    if not aws("logs", "describe-log-streams", given=asked)["logStreams"]:
        return
    events = aws(
        "logs",
        "get-log-events",
        given={"logGroupName": group, "logStreamName": stream, "startFromHead": True},
    )
    for event in events["events"]:
        sys.stdout.write(event["message"] + "\n")


if __name__ == "__main__":
    common.run(main)
