"""The tenants of the platform: registry, onboarding, lifecycle, export, moves."""

from app.tenants.errors import TenantMoving, TenantSuspended
from app.tenants.registry import TenantRegistry

__all__ = ["TenantMoving", "TenantRegistry", "TenantSuspended"]
