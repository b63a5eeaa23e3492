"""Looks at what the service needs, here and in AWS, and says what is wrong and what to do about it."""
