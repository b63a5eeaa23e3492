"""EC2: the IPv6 blocks of a subnet, which can be told, and searched for."""

from typing import Any

from moto.ec2.models.subnets import Subnet

from tests.aws_emulator.patching import around


def apply() -> None:
    @around(Subnet, "get_filter_value")
    def filter_value(original: Any, subnet: Subnet, name: str, method: str | None = None) -> Any:
        if name == "ipv6-cidr-block-association.association-id":
            return list(subnet.ipv6_cidr_block_associations)
        return original(subnet, name, method)

    associations = vars(Subnet)["ipv6_cidr_block_association_set"].fget

    def told(subnet: Subnet) -> list[dict[str, Any]]:
        """moto puts one state into another."""
        found: list[dict[str, Any]] = associations(subnet)
        for association in found:
            state = association["ipv6CidrBlockState"]
            association["ipv6CidrBlockState"] = state.get("state", state)
        return found

    Subnet.ipv6_cidr_block_association_set = property(told)  # type: ignore[assignment, method-assign]
