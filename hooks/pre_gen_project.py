"""Refuses answers that would fail later, before any file stands: one line a fault. Standard library only."""

import difflib
import json
import re
import sys
import unicodedata
from collections.abc import Callable

# Every character that could end the string is escaped by `tojson`, so no answer can become code here.
ANSWERS = r'''{{ cookiecutter | tojson }}'''

REGIONS = """
    af-south-1 ap-east-1 ap-east-2 ap-northeast-1 ap-northeast-2 ap-northeast-3 ap-south-1 ap-south-2
    ap-southeast-1 ap-southeast-2 ap-southeast-3 ap-southeast-4 ap-southeast-5 ap-southeast-6 ap-southeast-7
    ca-central-1 ca-west-1 cn-north-1 cn-northwest-1 eu-central-1 eu-central-2 eu-north-1 eu-south-1
    eu-south-2 eu-west-1 eu-west-2 eu-west-3 eusc-de-east-1 il-central-1 me-central-1 me-south-1
    mx-central-1 sa-east-1 us-east-1 us-east-2 us-gov-east-1 us-gov-west-1 us-west-1 us-west-2
""".split()

# AWS allows 32 characters for load balancers and target groups; `-production` takes 11 of them.
SLUG = re.compile(r"[a-z][a-z0-9-]{1,19}[a-z0-9]")
# Load balancers refuse internal-, buckets the next two, parameters and tags the last two.
RESERVED_PREFIXES = ("internal-", "sthree-", "amzn-", "aws", "ssm")
LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
DOMAIN = re.compile(rf"(?:{LABEL}\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])")
MAILBOX = re.compile(r"[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*")
UNDELIVERABLE = ("arpa", "invalid", "local", "localhost", "onion", "test")
OWNER = re.compile(r"[A-Za-z0-9](?:-?[A-Za-z0-9]){0,38}(?:/[A-Za-z0-9](?:[._-]?[A-Za-z0-9]){0,99})?")
# In project.env, LICENSE and the README these would end a string, start a substitution or become markup.
FORBIDDEN_IN_TEXT = '"\\$`{}<>'


def slug_fault(slug: str) -> "str | None":
    if not SLUG.fullmatch(slug) or "--" in slug:
        return (
            "3 to 21 lower-case letters, digits and single hyphens, beginning with a letter and ending with a"
            " letter or digit (AWS names are built from it)"
        )
    for prefix in RESERVED_PREFIXES:
        if slug.startswith(prefix):
            return f"not beginning with {prefix!r}, which AWS keeps for itself"
    return None


def text_fault(longest: int) -> "Callable[[str], str | None]":
    """One printable line of at most `longest` characters that is safe wherever it will stand."""

    def fault(text: str) -> "str | None":
        if not 1 <= len(text) <= longest or text != text.strip():
            return f"1 to {longest} characters, with no space at either end"
        if any(unicodedata.category(character)[0] in "CZ" and character != " " for character in text):
            return "one line of printable characters"
        if any(character in FORBIDDEN_IN_TEXT for character in text):
            return f"none of {' '.join(FORBIDDEN_IN_TEXT)}"
        return None

    return fault


def email_fault(email: str) -> "str | None":
    mailbox, _, domain = email.rpartition("@")
    if len(mailbox) > 64 or len(email) > 254 or not MAILBOX.fullmatch(mailbox) or not is_domain(domain):
        return "an address such as ada@example.com, in plain ASCII"
    if domain.rpartition(".")[2].lower() in UNDELIVERABLE:
        return f"an address that can receive mail; nothing is delivered to .{domain.rpartition('.')[2]}"
    return None


def domain_fault(domain: str) -> "str | None":
    if domain != domain.lower() or not is_domain(domain):
        return "a domain name such as example.com: lower case, no scheme, no path, no port"
    return None


def is_domain(name: str) -> bool:
    return len(name) <= 253 and DOMAIN.fullmatch(name.lower()) is not None


def region_fault(region: str) -> "str | None":
    if region in REGIONS:
        return None
    near = difflib.get_close_matches(region, REGIONS, n=1)
    return "an AWS region" + (f"; did you mean {near[0]}?" if near else " such as eu-central-1")


def owner_fault(owner: str) -> "str | None":
    if not OWNER.fullmatch(owner) or len(owner.partition("/")[0]) > 39:
        return "a GitHub user or organization, or organization/team: letters, digits and single hyphens"
    return None


RULES = {
    "project_name": text_fault(60),
    "project_slug": slug_fault,
    "description": text_fault(200),
    "owner": owner_fault,
    "admin_email": email_fault,
    "first_tenant_name": text_fault(60),
    "aws_region": region_fault,
    "domain_name": domain_fault,
}


def faults(answers: "dict[str, str]") -> "list[str]":
    """One line for each answer that is refused, saying what is allowed."""
    found = []
    for question, fault_in in RULES.items():
        allowed = fault_in(answers[question])
        if allowed is not None:
            found.append(f"{question}: {ascii(answers[question])} is refused; allowed: {allowed}.")
    return found


if __name__ == "__main__":
    lines = faults(json.loads(ANSWERS))
    if lines:
        sys.exit("\n".join(f"ERROR: {line}" for line in lines))
