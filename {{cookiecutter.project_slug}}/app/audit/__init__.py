"""Who did what, in an order that cannot be rewritten unnoticed."""
