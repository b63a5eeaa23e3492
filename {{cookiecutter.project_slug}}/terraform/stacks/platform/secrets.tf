# Secrets are made empty; `make secrets` fills them. No value passes through Terraform.

module "secrets" {
  source = "../../modules/secrets"

  name   = local.name
  region = var.region

  secrets = {
    for name, description in {
      database_url           = "URL of the login that serves requests (app_runtime)"
      first_admin_password   = "Password of the first tenant's admin"
      jwt_keys               = "RSA keys that sign access tokens, as `python -m app keys bundle` writes them"
      migration_database_url = "URL of the login that owns the database (app_owner)"
      redis_url              = "URL of the cache with its user and password"
      secret_key             = "Signs cursors and keys the credential cache"
      superuser_database_url = "URL of the database's master user, for making the other two logins"
    } : name => { description = description, recovery_window_days = var.platform.secret_recovery_days }
  }
}
