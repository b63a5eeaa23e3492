# caught by unprotected
resource "aws_lb" "bad_unprotected" {
  subnets         = ["subnet-1", "subnet-2"]
  security_groups = [aws_security_group.balancer.id]
}

# caught by unprotected
resource "aws_db_instance" "bad_unprotected" {
  instance_class          = "db.t4g.micro"
  storage_encrypted       = true
  backup_retention_period = 7
}

# caught by unprotected
resource "aws_db_instance" "bad_backups" {
  instance_class          = "db.t4g.micro"
  storage_encrypted       = true
  deletion_protection     = true
  backup_retention_period = 1
}

# caught by unprotected
resource "aws_db_instance" "bad_last_snapshot" {
  instance_class          = "db.t4g.micro"
  storage_encrypted       = true
  deletion_protection     = true
  backup_retention_period = 7
  skip_final_snapshot     = true
}

# caught by unprotected
resource "aws_elasticache_replication_group" "bad_no_snapshot" {
  replication_group_id       = "bad-no-snapshot"
  description                = "Gone when it is gone"
  at_rest_encryption_enabled = true
  transit_encryption_enabled = true
}

# caught by unprotected
resource "aws_secretsmanager_secret" "bad" {
  name                    = "bad"
  recovery_window_in_days = 0
}
