# Inputs of the server that the module runs.

variable "secret_arn" {
  description = "Secret with `username` and `password` of the login that owns the database, as JSON; read at boot. For `ec2` only."
  type        = string
  default     = null

  validation {
    condition     = (var.mode == "ec2") == (var.secret_arn != null)
    error_message = "secret_arn is needed with mode = \"ec2\", and belongs to it alone: it names the secret with the login's username and password."
  }

  validation {
    condition     = var.secret_arn == null || can(regex("^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:", var.secret_arn))
    error_message = "secret_arn must be the ARN of a secret: arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME."
  }
}

variable "secret_kms_key_arn" {
  description = "Key that secret is encrypted with, when it is a customer key."
  type        = string
  default     = null

  validation {
    condition     = var.secret_kms_key_arn == null || can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/", var.secret_kms_key_arn))
    error_message = "secret_kms_key_arn must be the ARN of a key: arn:aws:kms:REGION:ACCOUNT:key/ID."
  }

  validation {
    condition     = var.secret_kms_key_arn == null || var.secret_arn != null
    error_message = "secret_kms_key_arn goes with secret_arn."
  }
}

variable "skip_final_snapshot" {
  description = "Whether deleting the data volume leaves no snapshot of it, and destroying the vault may delete its backups."
  type        = bool
  default     = false
  nullable    = false

  validation {
    condition     = !(var.production && var.skip_final_snapshot)
    error_message = "production needs a final snapshot: set skip_final_snapshot = false, or say production = false where the data may be lost."
  }
}

variable "snapshot_id" {
  description = "Make the data volume from this snapshot. It matters at creation only; restoring is a replacement of the volume."
  type        = string
  default     = null

  validation {
    condition     = var.snapshot_id == null || can(regex("^snap-[0-9a-f]{8,17}$", var.snapshot_id))
    error_message = "snapshot_id must be the id of a snapshot: snap-0123456789abcdef0."
  }
}

variable "stopped" {
  description = "Whether no instance runs, so that the data volume can be replaced or worked on."
  type        = bool
  default     = false
  nullable    = false
}

variable "subnet_id" {
  description = "Private subnet of the server, whose zone is the data volume's too. For `ec2` only."
  type        = string
  default     = null

  validation {
    condition     = (var.mode == "ec2") == (var.subnet_id != null)
    error_message = "subnet_id is needed with mode = \"ec2\", and belongs to it alone."
  }
}

variable "tags" {
  description = "Tags of everything the module makes."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "versions" {
  description = <<-EOT
    What is installed unless the image brings it: PostgreSQL's major, TimescaleDB's version, its edition (`community`, or
    `apache` without compression, policies and continuous aggregates), the SSM agent's version, and the fingerprint of
    the key that signs TimescaleDB's repository.
  EOT
  type = object({
    edition                    = optional(string, "community")
    postgresql                 = optional(number, 18)
    repository_key_fingerprint = optional(string, "1005FB68604CE9B8F6879CF759F18EDF47F24417")
    ssm_agent                  = optional(string, "latest")
    timescaledb                = optional(string, "2.26.4")
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.versions.postgresql >= 15 && floor(var.versions.postgresql) == var.versions.postgresql
    error_message = "versions.postgresql must be a major of at least 15, such as 18."
  }

  validation {
    condition     = can(regex("^2[.][0-9]+[.][0-9]+$", var.versions.timescaledb))
    error_message = "versions.timescaledb must be a full version such as 2.26.4, so that every boot installs the same one."
  }

  validation {
    condition     = contains(["apache", "community"], var.versions.edition)
    error_message = "versions.edition must be `community` or `apache`."
  }

  validation {
    condition     = can(regex("^(latest|[0-9]+([.][0-9]+){3})$", var.versions.ssm_agent))
    error_message = "versions.ssm_agent must be `latest` or a full version such as 3.3.1611.0."
  }

  validation {
    condition     = can(regex("^[0-9A-F]{40}$", var.versions.repository_key_fingerprint))
    error_message = "versions.repository_key_fingerprint must be 40 hexadecimal digits in capitals."
  }
}

variable "volume" {
  description = "The gp3 data volume: GiB, IOPS and MiB/s. It can grow while in use; the file system follows at the next boot."
  type = object({
    iops       = optional(number, 3000)
    size_gib   = optional(number, 100)
    throughput = optional(number, 125)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.volume.size_gib >= 10 && var.volume.size_gib <= 16384
    error_message = "volume.size_gib must be 10 to 16384."
  }

  validation {
    condition     = var.volume.iops >= 3000 && var.volume.iops <= 16000 && var.volume.iops <= max(3000, var.volume.size_gib * 500)
    error_message = "volume.iops must be 3000 to 16000, and at most 500 for each GiB."
  }

  validation {
    condition     = var.volume.throughput >= 125 && var.volume.throughput <= 1000 && var.volume.throughput <= var.volume.iops / 4
    error_message = "volume.throughput must be 125 to 1000 MiB/s, and at most a quarter of the IOPS; AWS gives 0.25 MiB/s for each."
  }
}

variable "vpc_id" {
  description = "VPC of the subnet. For `ec2` only."
  type        = string
  default     = null

  validation {
    condition     = (var.mode == "ec2") == (var.vpc_id != null)
    error_message = "vpc_id is needed with mode = \"ec2\", and belongs to it alone."
  }
}

variable "zone_id" {
  description = "Private zone of Route 53 for the server's name. Null: the module makes one."
  type        = string
  default     = null

  validation {
    condition     = (var.zone_id == null) == (var.zone_name == null)
    error_message = "Give zone_id and zone_name together, or neither: the name is that of the zone."
  }
}

variable "zone_name" {
  description = "Name of that zone."
  type        = string
  default     = null

  validation {
    condition     = var.zone_name == null || can(regex("^[a-z0-9-]+([.][a-z0-9-]+)+$", var.zone_name))
    error_message = "zone_name must be a domain in lower case without a dot at its end, such as internal.example.com."
  }

  validation {
    condition     = var.zone_name == null || var.mode == "ec2"
    error_message = "zone_name and zone_id belong to mode = \"ec2\"."
  }
}
