"""SQS: who may name a queue as its dead letter queue, and attributes that outlast each other."""

import json
from typing import Any

from moto.sqs.models import Queue

from tests.aws_emulator.patching import around


def apply() -> None:
    Queue.BASE_ATTRIBUTES.append("RedriveAllowPolicy")
    Queue.redrive_allow_policy = None  # type: ignore[attr-defined]

    @around(Queue, "_set_attributes")
    def keep_policy(
        original: Any, queue: Queue, attributes: dict[str, Any], now: float | None = None
    ) -> None:
        """moto forgets the policy when another attribute is set."""
        policy = getattr(queue, "policy", None)
        original(queue, attributes, now)
        if "Policy" not in attributes:
            queue.policy = policy

    attributes = vars(Queue)["attributes"].fget

    def read(queue: Queue) -> dict[str, Any]:
        """moto writes the redrive policy with spaces, which AWS leaves out."""
        found: dict[str, Any] = attributes(queue)
        if queue.redrive_policy:
            found["RedrivePolicy"] = json.dumps(queue.redrive_policy, separators=(",", ":"))
        # One that was set to nothing is not there.
        return {name: value for name, value in found.items() if name != "RedriveAllowPolicy" or value}

    Queue.attributes = property(read)  # type: ignore[method-assign, assignment]
