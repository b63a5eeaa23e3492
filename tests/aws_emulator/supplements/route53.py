"""Route 53: a zone with a VPC is private, and name servers that go with their zone."""

from typing import Any

from moto.core.responses import ActionResult
from moto.route53.models import Route53Backend
from moto.route53.responses import Route53

from tests.aws_emulator.patching import around


def apply() -> None:
    @around(Route53, "create_hosted_zone")
    def create(original: Any, response: Any) -> ActionResult:
        """moto wants it to be called private too, which Terraform does not do."""
        answer: ActionResult = original(response)
        told: dict[str, Any] = answer.result  # type: ignore[assignment]
        zone, vpc = told["HostedZone"], response._get_param("VPC.VPCId")
        if vpc and not zone.private_zone:
            region = response._get_param("VPC.VPCRegion")
            zone.private_zone = True
            zone.add_vpc(vpc, region)
            told |= {"DelegationSet": None, "VPC": {"VPCId": vpc, "VPCRegion": region}}
        return answer

    @around(Route53Backend, "delete_hosted_zone")
    def delete(original: Any, backend: Any, identifier: str) -> Any:
        zone = original(backend, identifier)
        for key, held in list(backend.delegation_sets.items()):
            # Those without an id of their own were made for this zone.
            if zone is not None and held is zone.delegation_set and not held.id:
                backend.delegation_sets.pop(key)
        return zone
