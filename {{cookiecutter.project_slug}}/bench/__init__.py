"""Figures against budgets, as ratios measured in one run."""
