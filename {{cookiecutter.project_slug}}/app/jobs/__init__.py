"""Background work of a tenant."""
