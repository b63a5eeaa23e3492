"""EC2: IPv6 blocks of a subnet, descriptions of rules, tags of templates, deletions that leave nothing."""

from typing import Any

from moto.ec2.models.instances import Instance
from moto.ec2.models.launch_templates import LaunchTemplate
from moto.ec2.models.nat_gateways import NatGatewayBackend
from moto.ec2.models.security_groups import SecurityGroupRule
from moto.ec2.models.subnets import Subnet
from moto.ec2.models.vpcs import VPCBackend

from tests.aws_emulator.patching import around


def apply() -> None:
    supply_ipv6_blocks()
    supply_descriptions()
    keep_tags_of_launch_templates()
    delete_what_belongs()


def supply_ipv6_blocks() -> None:
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

    Subnet.ipv6_cidr_block_association_set = property(told)  # type: ignore[assignment]


def supply_descriptions() -> None:
    """moto knows them only of rules whose source is a range of addresses."""

    @around(SecurityGroupRule, "__init__")
    def begin(original: Any, rule: Any, *arguments: Any, **named: Any) -> None:
        original(rule, *arguments, **named)
        # As the caller gives them: the range, the group and the prefix list, one of which is there.
        given = (*arguments[5:8], *(named.get(key) for key in ("ip_range", "source_group", "prefix_list_id")))
        found = (source.get("Description") for source in given if source)
        rule.ip_range.setdefault("Description", next(found, None))


def keep_tags_of_launch_templates() -> None:
    """moto tells those that a template was made with, whatever became of them."""

    def ignore(template: LaunchTemplate, made_with: Any) -> None: ...

    LaunchTemplate.tags = property(LaunchTemplate.get_tags, ignore)  # type: ignore[assignment]


def delete_what_belongs() -> None:
    """The network ACL that a VPC brought, and the interfaces of NAT gateways and instances."""

    @around(Instance, "terminate")
    def terminate(original: Any, instance: Any) -> Any:
        for index, interface in instance.nics.items():
            # The first comes with the instance, whoever launches it, and so it goes with it.
            interface.delete_on_termination = interface.delete_on_termination or int(index) == 0
        return original(instance)

    @around(VPCBackend, "delete_vpc")
    def delete_vpc(original: Any, backend: Any, identifier: str) -> Any:
        vpc = original(backend, identifier)
        for acl in [acl for acl in backend.network_acls.values() if acl.vpc_id == identifier]:
            backend.network_acls.pop(acl.id)
        return vpc

    @around(NatGatewayBackend, "delete_nat_gateway")
    def delete_nat_gateway(original: Any, backend: Any, identifier: str) -> Any:
        gateway = original(backend, identifier)
        backend.enis.pop(gateway._eni.id, None)
        return gateway
