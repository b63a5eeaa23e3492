"""Who is calling: access tokens, passwords, API keys, log-in and refresh."""
