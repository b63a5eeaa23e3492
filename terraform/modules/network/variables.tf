variable "cidr_block" {
  description = "IPv4 block of the VPC. The subnets' own blocks are computed from one of /16 to /20; a smaller one needs them given."
  type        = string
  nullable    = false

  validation {
    condition = (can(cidrnetmask(var.cidr_block)) &&
    try(split("/", var.cidr_block)[0] == cidrhost(var.cidr_block, 0) && split("/", var.cidr_block)[1] >= 16 && split("/", var.cidr_block)[1] <= 28, false))
    error_message = "cidr_block must be an IPv4 block of /16 to /28 that begins at its own first address, such as 10.0.0.0/16."
  }

  validation {
    # Inside: cut to the length of the range it begins where the range begins.
    condition = anytrue([
      for range in ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"] :
      try(cidrhost("${split("/", var.cidr_block)[0]}/${split("/", range)[1]}", 0) == cidrhost(range, 0), false)
    ])
    error_message = "cidr_block must be private: inside 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 (RFC 1918) or 100.64.0.0/10 (RFC 6598)."
  }
}

variable "name" {
  description = "Prefix of everything the module makes, such as `acme-staging`."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}[a-z0-9]$", var.name))
    error_message = "name must be 3 to 32 lower-case letters, digits and hyphens, begin with a letter and not end with a hyphen."
  }
}

variable "region" {
  description = "Region everything stands in."
  type        = string
  nullable    = false
}

variable "zones" {
  description = <<-EOT
    Availability zones by name. `index` is the zone's place in the address plan, for good: a zone that comes or goes moves no other.
    `public`, `private` and `database` give a tier's block in that zone instead of the computed one.
  EOT
  type = map(object({
    database = optional(string)
    index    = number
    private  = optional(string)
    public   = optional(string)
  }))
  nullable = false

  validation {
    condition     = length(var.zones) >= 2
    error_message = "zones must hold at least two availability zones; load balancers and multi-zone databases need them."
  }

  validation {
    condition     = alltrue([for zone in keys(var.zones) : can(regex("^${var.region}[a-z]$", zone))])
    error_message = "zones must be availability zones of ${var.region}, such as ${var.region}a."
  }

  validation {
    condition     = alltrue([for place in values(var.zones) : contains(range(8), place.index)])
    error_message = "zones: each index must be a whole number from 0 to 7."
  }

  validation {
    condition     = length(distinct([for place in values(var.zones) : place.index])) == length(var.zones)
    error_message = "zones: two zones have the same index; give each its own, and do not change those that exist."
  }

  validation {
    condition = alltrue(flatten([
      for place in values(var.zones) : [
        for block in [place.public, place.private, place.database] : block == null || (can(cidrnetmask(block)) &&
        try(split("/", block)[0] == cidrhost(block, 0) && split("/", block)[1] >= 16 && split("/", block)[1] <= 28, false))
      ]
    ]))
    error_message = "zones: public, private and database must be IPv4 blocks of /16 to /28 that begin at their own first address, such as 10.0.0.0/20."
  }
}

variable "flow_logs" {
  description = "Flow logs of the VPC: whether they are written, how long they are kept, and of which traffic (`ALL`, `ACCEPT` or `REJECT`)."
  type = object({
    enabled        = optional(bool, true)
    retention_days = optional(number, 90)
    traffic_type   = optional(string, "ALL")
  })
  default  = {}
  nullable = false

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.flow_logs.retention_days)
    error_message = "flow_logs.retention_days must be a retention CloudWatch Logs knows: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, …"
  }

  validation {
    condition     = contains(["ACCEPT", "ALL", "REJECT"], var.flow_logs.traffic_type)
    error_message = "flow_logs.traffic_type must be ALL, ACCEPT or REJECT."
  }
}

variable "interface_endpoints" {
  description = "AWS services reached over endpoints in the private subnets: `ecr.api`, `ecr.dkr`, `logs`, `secretsmanager`, `sqs`, `ssm` and the like. Each costs by zone and hour."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for service in var.interface_endpoints : can(regex("^[a-z][a-z0-9-]*(\\.[a-z][a-z0-9-]*)?$", service))])
    error_message = "interface_endpoints must be names of services without com.amazonaws.REGION before them, such as ecr.api or logs."
  }

  validation {
    condition     = !contains(var.interface_endpoints, "s3") && !contains(var.interface_endpoints, "dynamodb")
    error_message = "interface_endpoints: S3 has its gateway endpoint already, free of charge, and nothing uses DynamoDB; leave both out."
  }
}

variable "ipv6_enabled" {
  description = "Whether the VPC and its subnets have IPv6 as well: the public ones open to the internet, the private ones outward only, the database ones not at all."
  type        = bool
  default     = false
  nullable    = false
}

variable "kms_key_arn" {
  description = "Key of the flow logs that exists already; its policy must allow CloudWatch Logs. Null: the module makes one."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/", var.kms_key_arn))
    error_message = "kms_key_arn must be the ARN of a key, not of an alias: arn:aws:kms:REGION:ACCOUNT:key/ID."
  }
}

variable "nat" {
  description = "How private subnets reach the internet over IPv4: `per_zone` (a gateway in each zone), `single` (one for all: cheaper, and gone with its zone) or `none` (only endpoints)."
  type        = string
  default     = "per_zone"
  nullable    = false

  validation {
    condition     = contains(["none", "per_zone", "single"], var.nat)
    error_message = "nat must be none, single or per_zone."
  }
}

variable "secondary_cidr_blocks" {
  description = "Further IPv4 blocks of the VPC, for subnets whose blocks are given."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = length(var.secondary_cidr_blocks) <= 4
    error_message = "secondary_cidr_blocks must be at most four; a VPC has five blocks unless AWS raises its quota."
  }

  validation {
    condition = alltrue([
      for block in var.secondary_cidr_blocks : can(cidrnetmask(block)) &&
      try(split("/", block)[0] == cidrhost(block, 0) && split("/", block)[1] >= 16 && split("/", block)[1] <= 28, false)
    ])
    error_message = "secondary_cidr_blocks must be IPv4 blocks of /16 to /28 that begin at their own first address."
  }

  validation {
    condition = alltrue([
      for block in var.secondary_cidr_blocks : anytrue([
        for range in ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"] :
        try(cidrhost("${split("/", block)[0]}/${split("/", range)[1]}", 0) == cidrhost(range, 0), false)
      ])
    ])
    error_message = "secondary_cidr_blocks must be private: inside 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 (RFC 1918) or 100.64.0.0/10 (RFC 6598)."
  }
}

variable "tags" {
  description = "Tags of everything the module makes."
  type        = map(string)
  default     = {}
  nullable    = false
}
