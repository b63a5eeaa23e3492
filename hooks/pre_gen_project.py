"""Refuses answers that could not work later, one line for each, before any file stands. Standard library."""

import re
import sys

# A JSON string is a Python string, so no answer can end the literal that it stands in.
ANSWERS = {
    "project_name": {{ cookiecutter.project_name | jsonify }},
    "project_slug": {{ cookiecutter.project_slug | jsonify }},
    "description": {{ cookiecutter.description | jsonify }},
    "owner": {{ cookiecutter.owner | jsonify }},
    "admin_email": {{ cookiecutter.admin_email | jsonify }},
    "first_tenant_name": {{ cookiecutter.first_tenant_name | jsonify }},
    "aws_region": {{ cookiecutter.aws_region | jsonify }},
    "domain_name": {{ cookiecutter.domain_name | jsonify }},
}

# An Application Load Balancer's name has at most 32 characters, and ours end in `-production`.
MAX_SLUG = 21
SLUG = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
EMAIL_LOCAL = re.compile(r"[A-Za-z0-9!#%&'*+/=?^_|~-]+(\.[A-Za-z0-9!#%&'*+/=?^_|~-]+)*")
# They are written into files that a shell, make, TOML or YAML may read.
FORBIDDEN = set('"\\$`{}<>')
# Reserved by RFC 6761 and 6762: no mail server, and no certificate, will ever know them.
RESERVED_DOMAINS = {"arpa", "invalid", "local", "localhost", "onion"}
REGIONS = """
    af-south-1 ap-east-1 ap-east-2 ap-northeast-1 ap-northeast-2 ap-northeast-3 ap-south-1 ap-south-2
    ap-southeast-1 ap-southeast-2 ap-southeast-3 ap-southeast-4 ap-southeast-5 ap-southeast-6
    ap-southeast-7 ca-central-1 ca-west-1 eu-central-1 eu-central-2 eu-north-1 eu-south-1 eu-south-2
    eu-west-1 eu-west-2 eu-west-3 il-central-1 me-central-1 me-south-1 mx-central-1 sa-east-1 us-east-1
    us-east-2 us-gov-east-1 us-gov-west-1 us-west-1 us-west-2
""".split()


def slug_fault(slug):
    if not 3 <= len(slug) <= MAX_SLUG or not SLUG.fullmatch(slug):
        return (
            f"3 to {MAX_SLUG} lower-case letters, digits and single hyphens, beginning with a letter and"
            " ending with a letter or digit (AWS limits the length)"
        )
    # Names of environments follow the slug, so `internal` alone becomes `internal-dev`.
    if f"{slug}-".startswith(("internal-", "aws-", "sg-")):
        return "names that do not begin with internal-, aws- or sg-, which AWS keeps for itself"
    return None


def text_fault(text, longest):
    if not 1 <= len(text.strip()) <= longest or text != text.strip():
        return f"1 to {longest} characters, without spaces around them"
    if not text.isprintable() or FORBIDDEN & set(text):
        return 'printable characters, without any of " \\ $ ` { } < >'
    return None


def domain_fault(domain):
    labels = domain.split(".")
    if len(domain) > 200 or len(labels) < 2 or not all(LABEL.fullmatch(label) for label in labels):
        return "a domain in lower-case letters, such as example.com, without protocol, path or port"
    if labels[-1].isdigit() or labels[-1] in RESERVED_DOMAINS:
        return f"a public domain; .{labels[-1]} can have neither mail nor a certificate"
    return None


def email_fault(email):
    local, _, domain = email.rpartition("@")
    if not 1 <= len(local) <= 64 or not EMAIL_LOCAL.fullmatch(local) or domain_fault(domain.lower()):
        return "an email address, such as ada@example.com"
    return None


def region_fault(region):
    return None if region in REGIONS else f"an AWS region, one of {', '.join(REGIONS)}"


CHECKS = {
    "project_name": lambda text: text_fault(text, 60),
    "project_slug": slug_fault,
    "description": lambda text: text_fault(text, 200),
    "owner": lambda text: text_fault(text, 100),
    "admin_email": email_fault,
    "first_tenant_name": lambda text: text_fault(text, 100),
    "aws_region": region_fault,
    "domain_name": domain_fault,
}


def main():
    faults = []
    for name, check in CHECKS.items():
        # The JSON escapes of a character beyond U+FFFF are two surrogates; make them one again.
        answer = ANSWERS[name].encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        fault = check(answer)
        if fault:
            faults.append(f"{name}: {answer!a} is not possible; allowed: {fault}.")
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
