"""A multi-tenant API service: one package, one folder per feature."""
