"""What environments take of an account is read from their files of values, and adds up as AWS counts it."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from app.doctor.aws import POSTGRESQL_MAJOR
from app.doctor.needs import NAT_GATEWAYS, QUOTAS, Place, nat_by_zone, placed
from app.doctor.tfvars import TfvarsError, read_tfvars

TERRAFORM = Path(__file__).resolve().parents[2] / "terraform"


def place(environment: str) -> Place:
    values = read_tfvars(TERRAFORM / "environments" / f"{environment}.tfvars")
    return Place(f"acme-{environment}", environment, "us-east-1", values["platform"], values["service"])


def of(environment: str) -> dict[str, float]:
    return {quota.title: quota.of(place(environment)) for quota in (*QUOTAS, NAT_GATEWAYS)}


def test_each_environment_takes_what_its_values_say() -> None:
    one_each = {"VPCs": 1, "internet gateways": 1, "RDS instances": 1, "Application Load Balancers": 1}
    assert of("dev") == one_each | {
        "Elastic IPs": 1, "NAT gateways": 1, "ElastiCache nodes": 1, "Fargate vCPU": 0.5,
        "Fargate Spot vCPU": 1.0,
    }  # fmt: skip
    # Of eight tasks at a rollout one is on demand as the base, and a quarter of the others.
    assert of("staging") == one_each | {
        "Elastic IPs": 1, "NAT gateways": 1, "ElastiCache nodes": 2, "Fargate vCPU": 3 * 0.5 + 0.5,
        "Fargate Spot vCPU": 6 * 0.5,
    }  # fmt: skip
    assert of("production") == one_each | {
        "Elastic IPs": 3, "NAT gateways": 3, "ElastiCache nodes": 3, "Fargate vCPU": 24.5,
        "Fargate Spot vCPU": 0,
    }  # fmt: skip


def test_gateways_stand_in_the_zone_with_the_lowest_index_or_in_each() -> None:
    found = nat_by_zone([place("dev"), place("staging"), place("production")])
    assert found == Counter({"us-east-1a": 3, "us-east-1b": 1, "us-east-1c": 1})
    values = place("dev").platform
    reordered = Place("acme-dev", "dev", "us-east-1", {**values, "zones": {"a": 1, "c": 0}}, {})
    assert reordered.nat_zones == ["us-east-1c"]
    none = Place("acme-dev", "dev", "us-east-1", {**values, "nat": "none"}, {})
    assert none.nat_zones == []


def test_what_values_leave_out_is_as_the_stack_has_it() -> None:
    """Compared with the defaults of the stack's own variables."""
    least = {"zones": {"a": 0, "b": 1}, "cache": {"type": "t"}, "database": {"instance_class": "c"}}
    bare = Place("acme-dev", "dev", "us-east-1", least, {"api": {"cpu": 256, "max": 1}})
    text = (TERRAFORM / "stacks/platform/variables.tf").read_text()

    def default(name: str) -> str:
        found = re.search(rf"\b{name} += optional\([^,]+, ([^)]+)\)", text)
        assert found, name
        return found[1]

    assert default("replicas") == str(bare.cache_nodes - 1)
    assert default("multi_az") == str(bare.has_standby).lower()
    assert (default("nat"), len(bare.nat_zones)) == ('"per_zone"', 2)
    assert bare.processors("FARGATE_SPOT") == 0
    engine = (TERRAFORM / "modules/database/variables_engine.tf").read_text()
    assert re.search(r'variable "engine_version" {[^}]*default +=\s*"(\d+)"', engine)[1] == POSTGRESQL_MAJOR


@pytest.mark.parametrize(
    ("tasks", "shares", "expected"),
    [
        (4, {"FARGATE": {"weight": 1}}, {"FARGATE": 4}),
        (1, {"A": {"base": 2, "weight": 0}, "B": {"weight": 1}}, {"A": 1, "B": 0}),
        (5, {"A": {"base": 1, "weight": 1}, "B": {"weight": 1}}, {"A": 3, "B": 2}),
        (6, {"A": {"base": 1, "weight": 1}, "B": {"weight": 3}}, {"A": 3, "B": 4}),
    ],
)
def test_a_strategy_places_its_base_first(
    tasks: int, shares: dict[str, dict[str, int]], expected: dict[str, int]
) -> None:
    assert placed(tasks, shares) == expected


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('"plain"', "plain"),
        (r'"a \"quoted\" # no comment // nor /* this */"', 'a "quoted" # no comment // nor /* this */'),
        ("12", 12),
        ("-0.5", -0.5),
        ("true", True),
        ("null", None),
        ("[]", []),
        ('["a", "b",]', ["a", "b"]),
        ('{ "a b" = 1, c : [2] }', {"a b": 1, "c": [2]}),
        ("{\n  a = 1 # one\n  // two\n  b = {\n  }\n}", {"a": 1, "b": {}}),
    ],
)
def test_plain_values_are_read(tmp_path: Path, text: str, value: Any) -> None:
    file = tmp_path / "one.tfvars"
    file.write_text(f"/* before\n*/ name = {text}\nnext = 1\n")
    assert read_tfvars(file) == {"name": value, "next": 1}


@pytest.mark.parametrize(
    "text",
    ["name", "name =", "name = other", 'name = "${other}"', "name = {", "name = [1", 'name = "open', "= 1",
     "name = 1 +", "name = <<EOT\nx\nEOT", 'name = "\\q"', "name = { 1 = 2 }", "name = file(x)"],
)  # fmt: skip
def test_anything_else_is_refused_with_its_line(tmp_path: Path, text: str) -> None:
    file = tmp_path / "one.tfvars"
    file.write_text(f"first = 1\n\n{text}")
    with pytest.raises(TfvarsError, match=r"^one\.tfvars, line [34567]: "):
        read_tfvars(file)


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(TfvarsError, match=r"nowhere\.tfvars: No such file"):
        read_tfvars(tmp_path / "nowhere.tfvars")
