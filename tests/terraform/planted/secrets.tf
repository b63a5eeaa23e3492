# caught by secrets
variable "api_token" {
  type      = string
  default   = "t0ken"
  sensitive = true
}

# caught by secrets
resource "aws_db_instance" "bad_password" {
  instance_class          = "db.t4g.micro"
  username                = "app"
  password                = "hunter22"
  storage_encrypted       = true
  deletion_protection     = true
  backup_retention_period = 7
}

resource "aws_db_instance" "good_password" {
  instance_class          = "db.t4g.micro"
  username                = "app"
  password_wo             = "hunter22"
  password_wo_version     = 1
  storage_encrypted       = true
  deletion_protection     = true
  backup_retention_period = 7
}

# caught by secrets
resource "aws_secretsmanager_secret_version" "bad" {
  secret_id     = "arn:aws:secretsmanager:us-east-1:123456789012:secret:x"
  secret_string = var.api_token
}

resource "aws_secretsmanager_secret_version" "good" {
  secret_id                = "arn:aws:secretsmanager:us-east-1:123456789012:secret:y"
  secret_string_wo         = "hunter22"
  secret_string_wo_version = 1
}

# caught by secrets
resource "aws_ssm_parameter" "bad" {
  name  = "bad"
  type  = "SecureString"
  value = "hunter22"
}

# caught by secrets
resource "aws_iam_access_key" "bad" {
  user = "deploy"
}

# caught by secrets
resource "aws_ecs_task_definition" "bad" {
  family = "bad"

  container_definitions = jsonencode([{
    name        = "api"
    image       = "api"
    environment = [{ name = "APP_DATABASE_PASSWORD", value = "hunter22" }]
  }])
}

# caught by secrets
resource "aws_ecs_task_definition" "bad_url" {
  family = "bad-url"

  container_definitions = jsonencode([{
    name        = "api"
    image       = "api"
    environment = [{ name = "APP_DATABASE_URL", value = "postgresql://app:hunter22@db/app" }]
  }])
}

resource "aws_ecs_task_definition" "good" {
  family = "good"

  container_definitions = jsonencode([{
    name        = "api"
    image       = "api"
    environment = [{ name = "APP_REDIS_URL", value = "rediss://cache:6379" }]
    secrets     = [{ name = "APP_SECRET_KEY", valueFrom = "arn:aws:secretsmanager:us-east-1:123456789012:secret:x" }]
  }])
}
