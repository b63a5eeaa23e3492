"""Scaling decisions and their record."""
