# What each process is told: variables in the clear, and variables from secrets. Every name that begins with
# APP_ stands in this file alone, one a line; tests/terraform/test_settings.py compares it with the settings.

locals {
  environment = {
    # In the cloud everything is production-like: reachable from outside, so nothing weak may boot.
    APP_ENVIRONMENT = var.environment == "production" ? "production" : "staging"
    # A token of one environment means nothing in another.
    APP_JWT_ISSUER    = "https://${local.platform.host}"
    APP_ALLOWED_HOSTS = local.platform.host
    APP_CORS_ORIGINS  = join(",", var.service.cors_origins)
    # The load balancer.
    APP_TRUSTED_PROXY_COUNT = "1"
  }

  # Variable -> secret, for every process.
  secrets = {
    APP_DATABASE_URL = "database_url"
    APP_JWT_KEYS     = "jwt_keys"
    APP_REDIS_URL    = "redis_url"
    APP_SECRET_KEY   = "secret_key"
  }

  # For those alone that make schemas and roles.
  owner_secrets = {
    APP_MIGRATION_DATABASE_URL = "migration_database_url"
  }

  bootstrap_secrets = {
    APP_FIRST_TENANT_ADMIN_PASSWORD = "first_admin_password"
  }

  provision_secrets = {
    APP_SUPERUSER_DATABASE_URL = "superuser_database_url"
  }

  secrets_of = {
    for process, names in {
      api       = local.secrets
      bootstrap = merge(local.secrets, local.owner_secrets, local.bootstrap_secrets)
      migrate   = merge(local.secrets, local.owner_secrets)
      provision = merge(local.secrets, local.owner_secrets, local.provision_secrets)
    } : process => { for variable, name in names : variable => { arn = local.platform.secrets.arns[name] } }
  }
}
