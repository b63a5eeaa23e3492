"""The login of a dedicated tenant: its own role, with a password that nobody stores.

The password is derived from the service's secret and the role's name (HMAC-SHA-256, RFC 2104), so every
process knows it and the database holds its SCRAM verifier only. A new APP_SECRET_KEY needs
`app tenants renew-logins`.
"""

import hmac
from typing import Final

from sqlalchemy import make_url

_PURPOSE: Final = b"tenant login "


def tenant_login_password(role: str, secret_key: str) -> str:
    """The password of a dedicated tenant's role."""
    return hmac.digest(secret_key.encode(), _PURPOSE + role.encode(), "sha256").hex()


def tenant_login_url(runtime_url: str, role: str, secret_key: str) -> str:
    """The URL of a placement, logging in as a dedicated tenant."""
    url = make_url(runtime_url).set(username=role, password=tenant_login_password(role, secret_key))
    return url.render_as_string(hide_password=False)
