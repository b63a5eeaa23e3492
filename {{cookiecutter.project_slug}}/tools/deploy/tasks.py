"""`make task TASK=migrate ENV=…`: runs a one-off task in the cloud, waits for it and shows what it said."""

import os
import sys
import time
from typing import Any

from tools.deploy import common
from tools.deploy.cloud import aws, known
from tools.deploy.common import refuse
from tools.deploy.stacks import Stack

INTERVAL_SECONDS = 5
LONGEST_SECONDS = 3600


def main() -> None:
    """Raises Refusal when there is no such task, or it did not end well."""
    stack, task = Stack("service", common.environment()), os.environ.get("TASK", "")
    if not task:
        refuse("TASK=(nothing): give the name of a task, such as TASK=migrate")
    outputs = stack.outputs()
    tasks = outputs.get("run_task", {})
    if task not in tasks:
        refuse(f"TASK={task}: {' or '.join(sorted(tasks)) or 'apply STACK=service first'}")
    started = aws("ecs", "run_task", **tasks[task])
    if started["failures"] or not started["tasks"]:
        reasons = {str(failure.get("reason")) for failure in started["failures"]}
        refuse(f"{task} was not started: {', '.join(sorted(reasons)) or 'no reason given'}")
    arn = started["tasks"][0]["taskArn"]
    stopped = wait(tasks[task]["cluster"], arn)
    show_logs(outputs["task_log_group_names"][task], f"{task}/{task}/{arn.rsplit('/', 1)[-1]}")
    container = stopped["containers"][0]
    if container.get("exitCode") != 0:
        reason = container.get("reason") or stopped.get("stoppedReason") or "no reason given"
        refuse(f"{task} ended with exit code {container.get('exitCode', '(none)')}: {reason}")


def wait(cluster: str, arn: str) -> dict[str, Any]:
    deadline = time.monotonic() + LONGEST_SECONDS
    while time.monotonic() < deadline:
        # For a moment after it was started AWS may not know it yet.
        for found in aws("ecs", "describe_tasks", cluster=cluster, tasks=[arn])["tasks"]:
            if found["lastStatus"] == "STOPPED":
                return dict(found)
        time.sleep(INTERVAL_SECONDS)
    return refuse(f"{arn} still runs after an hour; it goes on, look at its log")


def show_logs(group: str, stream: str) -> None:
    """A task that never started has no stream; what is wrong stands in its reason then."""
    asked: dict[str, Any] = {"logGroupName": group, "logStreamName": stream, "startFromHead": True}
    last = None
    while page := known("logs", "get_log_events", "ResourceNotFoundException", **asked):
        for event in page["events"]:
            sys.stdout.write(event["message"] + "\n")
        # The token of the last page leads to itself.
        if page["nextForwardToken"] == last:
            return
        last = asked["nextToken"] = page["nextForwardToken"]


if __name__ == "__main__":
    common.run(main)
