"""Migrations over all tenants: status, plan and apply."""

from app.fleet.service import Fleet

__all__ = ["Fleet"]
