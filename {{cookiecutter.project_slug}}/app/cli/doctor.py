"""`doctor`: what is wrong here, or would be in AWS, and what to do about it."""

import asyncio
import sys
from typing import Annotated

import typer

from app.doctor.report import Finding, Outcome, Report, fail
from app.doctor.service import examine

CHECK_WIDTH = 32


def doctor(
    aws: Annotated[
        bool, typer.Option("--aws", help="Instead: the AWS account, before Terraform's first apply.")
    ] = False,
    environments: Annotated[
        list[str] | None,
        typer.Option("--environment", help="With --aws: dev, staging or production; may be repeated."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Check settings, keys, databases, revisions and Redis; change nothing. Exit code 1 when one fails."""
    if environments and not aws:
        raise typer.BadParameter("--environment goes with --aws")
    report = examine_aws(environments or []) if aws else asyncio.run(examine())
    if as_json:
        sys.stdout.write(report.as_json() + "\n")
    else:
        for finding in report.findings:
            sys.stdout.write(line(finding) + "\n")
    raise typer.Exit(0 if report.ok else 1)


def examine_aws(environments: list[str]) -> Report:
    """boto3 is with the development requirements, which the image goes without."""
    try:
        from app.doctor.aws import UnknownEnvironment, examine_account  # noqa: PLC0415
    except ModuleNotFoundError as error:
        missing = f"{error.name} is not installed"
        return Report([fail("boto3", missing, "install the dev requirements: `make init` does it")])
    try:
        return examine_account(environments)
    except UnknownEnvironment as error:
        raise typer.BadParameter(str(error), param_hint="--environment") from None


def line(finding: Finding) -> str:
    """Outcome, check, what was found, and what to do."""
    todo = f" -> {finding.todo}" if finding.todo and finding.outcome is not Outcome.OK else ""
    found = " ".join(f"{finding.found}{todo}".split())
    return f"{finding.outcome:5} {finding.check:{CHECK_WIDTH}} {found}"
