# caught by encryption
resource "aws_db_instance" "bad_disk" {
  instance_class          = "db.t4g.micro"
  deletion_protection     = true
  backup_retention_period = 7
}

resource "aws_db_instance" "good_replica" {
  instance_class      = "db.t4g.micro"
  replicate_source_db = "primary"
  deletion_protection = true
}

# caught by encryption
resource "aws_ebs_volume" "bad" {
  availability_zone = "us-east-1a"
  size              = 1
}

# caught by encryption
resource "aws_instance" "bad" {
  ami           = "ami-12345678"
  instance_type = "t4g.micro"
}

# caught by encryption
resource "aws_launch_template" "bad_disk" {
  block_device_mappings {
    device_name = "/dev/sdb"

    ebs {
      encrypted = "false"
    }
  }
}

# caught by encryption
resource "aws_sqs_queue" "bad" {
  name                    = "bad"
  sqs_managed_sse_enabled = false
}

resource "aws_sqs_queue" "good" {
  name              = "good"
  kms_master_key_id = aws_kms_key.good.id
}

# caught by encryption
resource "aws_sns_topic" "bad" {
  name = "bad"
}

# caught by encryption
resource "aws_elasticache_replication_group" "bad_disk" {
  replication_group_id       = "bad-disk"
  description                = "Encrypted on its way only"
  transit_encryption_enabled = true
  snapshot_retention_limit   = 1
}

# caught by encryption, unprotected
resource "aws_ecr_repository" "bad" {
  name         = "bad"
  force_delete = true
}

resource "aws_kms_key" "good" {
  enable_key_rotation = true

  policy = jsonencode({
    Statement = [{
      Effect    = "Allow"
      Principal = { AWS = "arn:aws:iam::123456789012:root" }
      Action    = "kms:*"
      Resource  = "*"
    }]
  })
}

# caught by encryption
resource "aws_kms_key" "bad" {
  enable_key_rotation = false
}
