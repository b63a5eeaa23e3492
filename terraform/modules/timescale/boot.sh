# Runs as root at the first start of an instance, on Debian. The lines before it export what the module was given:
# REGION, NAME, VOLUME_TAG, ZONE_ID, RECORD_NAME, SECRET_ARN, DATABASE, POSTGRESQL_MAJOR, TIMESCALEDB_PACKAGE,
# TIMESCALEDB_VERSION, KEY_FINGERPRINT, SSM_AGENT_VERSION. None of them is secret: user data can be read by every
# process of the instance.
set -Eeuo pipefail
umask 027

readonly PARENT=/var/lib/postgresql
readonly ROOT="$PARENT/$POSTGRESQL_MAJOR/main"
readonly CONFIGURATION="/etc/postgresql/$POSTGRESQL_MAJOR/main"
export DEBIAN_FRONTEND=noninteractive AWS_DEFAULT_REGION="$REGION"

log() { echo "boot: $*" >&2; }

metadata() {
  local token
  token=$(curl -sSf -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' http://169.254.169.254/latest/api/token)
  curl -sSf -H "X-aws-ec2-metadata-token: $token" "http://169.254.169.254/latest/meta-data/$1"
}

# A boot that fails is replaced, after time enough to look at it. An Auto Scaling group replaces what is switched off,
# which needs neither a network nor a package.
give_up() {
  log "failed in line $1; the instance is replaced in 10 minutes"
  install_agent || true
  sleep 600
  systemctl poweroff
}

# A network or a repository may be away for a while. Only for what says in its exit code that it failed: `set -e` does
# not reach into it.
retry() {
  local attempt
  for attempt in $(seq 5); do
    "$@" && return
    log "attempt $attempt failed: $*"
    sleep 30
  done
  return 1
}

# --- Packages. An image that brings them all needs no network but AWS's own.

installed() { dpkg-query -W -f '${db:Status-Status} ${Version}\n' "$1" 2>/dev/null | grep -q "^installed ${2:-}"; }

# `update` succeeds without the lists that it could not fetch; then `install` does not.
install_packages() { apt-get -q update && apt-get -qy install --no-install-recommends "$@"; }

install_basics() {
  # An image may lack either folder; apt checks signatures whatever the transport.
  sed -i 's|http://|https://|g' /etc/apt/sources.list.d/* /etc/apt/mirrors/* 2>/dev/null || true
  if ! { installed awscli || command -v aws >/dev/null; } || ! installed jq || ! installed xfsprogs || ! installed postgresql-common; then
    retry install_packages awscli ca-certificates curl gnupg jq openssl postgresql-common xfsprogs
  fi
}

# The agent is for people; the database serves without it. Called where `set -e` does not reach.
install_agent() {
  if ! installed amazon-ssm-agent && ! command -v amazon-ssm-agent >/dev/null; then
    # From AWS's own bucket of the region, over TLS.
    retry curl -sSf -o /run/amazon-ssm-agent.deb \
      "https://s3.$REGION.amazonaws.com/amazon-ssm-$REGION/$SSM_AGENT_VERSION/debian_$(dpkg --print-architecture)/amazon-ssm-agent.deb" || return
    dpkg -i /run/amazon-ssm-agent.deb || return
  fi
  systemctl enable --now amazon-ssm-agent
}

install_database() {
  # No cluster may be made on the root volume.
  mkdir -p /etc/postgresql-common
  echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
  if installed "$TIMESCALEDB_PACKAGE-postgresql-$POSTGRESQL_MAJOR" "$TIMESCALEDB_VERSION"; then
    return
  fi
  # The key of PostgreSQL's repository comes with Debian's signed package; that of TimescaleDB's is known by its fingerprint.
  retry /usr/share/postgresql-common/pgdg/apt.postgresql.org.sh -y
  sed -i 's|http://|https://|g' /etc/apt/sources.list.d/*
  local keys
  keys=$(mktemp -d)
  retry curl -sSf -o "$keys/armoured" https://packagecloud.io/timescale/timescaledb/gpgkey
  GNUPGHOME=$keys gpg --batch --quiet --import "$keys/armoured"
  GNUPGHOME=$keys gpg --batch --export "$KEY_FINGERPRINT" >"$keys/key.gpg"
  test -s "$keys/key.gpg" || { log "the repository's key is not $KEY_FINGERPRINT"; return 1; }
  install -m 0644 "$keys/key.gpg" /usr/share/keyrings/timescaledb.gpg
  # shellcheck source=/dev/null
  . /etc/os-release
  echo "deb [signed-by=/usr/share/keyrings/timescaledb.gpg] https://packagecloud.io/timescale/timescaledb/debian/ $VERSION_CODENAME main" \
    >/etc/apt/sources.list.d/timescaledb.list
  retry install_packages "postgresql-$POSTGRESQL_MAJOR" \
    "$TIMESCALEDB_PACKAGE-postgresql-$POSTGRESQL_MAJOR=$TIMESCALEDB_VERSION*" \
    "timescaledb-2-loader-postgresql-$POSTGRESQL_MAJOR=$TIMESCALEDB_VERSION*"
}

# --- The data volume. It may still be attached to the instance before this one, which must let go of it first:
# this one has no right to detach it, so that no two servers ever write to it.

attach_volume() {
  local found state holder attempt
  for attempt in $(seq 120); do
    found=$(aws ec2 describe-volumes --filters "Name=tag:$VOLUME_TAG,Values=$NAME" --output json)
    if test "$(jq '.Volumes | length' <<<"$found")" != 1; then
      log "attempt $attempt: not exactly one volume is tagged $VOLUME_TAG=$NAME"
      sleep 5
      continue
    fi
    VOLUME_ID=$(jq -r '.Volumes[0].VolumeId' <<<"$found")
    state=$(jq -r '.Volumes[0].State' <<<"$found")
    holder=$(jq -r '.Volumes[0].Attachments[0].InstanceId // "nobody"' <<<"$found")
    if test "$holder" = "$INSTANCE_ID"; then
      return
    fi
    if test "$state" = available; then
      aws ec2 attach-volume --volume-id "$VOLUME_ID" --instance-id "$INSTANCE_ID" --device /dev/sdf >/dev/null && continue
    fi
    log "attempt $attempt: $VOLUME_ID is $state, held by $holder"
    sleep 5
  done
  log "no volume could be taken for 10 minutes"
  return 1
}

mount_volume() {
  local device="/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_${VOLUME_ID/-/}"
  for _ in $(seq 60); do
    test -b "$device" && break
    sleep 1
  done
  test -b "$device" || { log "$device does not appear"; return 1; }
  # Only a volume without any signature is made a file system on: 2 is blkid's "nothing found".
  local probe=0
  blkid -p "$device" >/dev/null || probe=$?
  if test "$probe" = 2; then
    mkfs.xfs -q -L timescale "$device"
  elif test "$probe" != 0; then
    log "blkid cannot tell what is on $device ($probe)"
    return 1
  fi
  mkdir -p "$PARENT"
  echo "$device $PARENT xfs defaults,noatime,nofail,x-systemd.device-timeout=600 0 2" >>/etc/fstab
  mount "$PARENT"
  xfs_growfs "$PARENT" >/dev/null
  # The number of the user may be another one than in the image before.
  chown -R postgres:postgres "$PARENT"
}

# --- The server.

write_configuration() {
  local memory_mib
  memory_mib=$(($(sed -n 's/^MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo) / 1024))
  if ! test -s "$PARENT/server.key"; then
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -subj "/CN=$RECORD_NAME" \
      -addext "subjectAltName=DNS:$RECORD_NAME" -keyout "$PARENT/server.key" -out "$PARENT/server.crt"
    chown postgres:postgres "$PARENT/server.key" "$PARENT/server.crt"
    chmod 0600 "$PARENT/server.key"
  fi
  cat >"$CONFIGURATION/conf.d/service.conf" <<END
listen_addresses = '*'
ssl = on
ssl_cert_file = '$PARENT/server.crt'
ssl_key_file = '$PARENT/server.key'
ssl_min_protocol_version = 'TLSv1.2'
password_encryption = 'scram-sha-256'
shared_preload_libraries = 'timescaledb,pg_stat_statements'
timescaledb.telemetry_level = off
shared_buffers = $((memory_mib / 4))MB
effective_cache_size = $((memory_mib * 3 / 4))MB
maintenance_work_mem = $((memory_mib / 16))MB
max_locks_per_transaction = 512
wal_compression = on
log_statement = 'none'
log_min_duration_statement = -1
log_min_error_statement = 'panic'
log_error_verbosity = 'terse'
log_parameter_max_length = 0
log_parameter_max_length_on_error = 0
END
  cat >"$CONFIGURATION/pg_hba.conf" <<END
local   all postgres                peer
hostssl all all      0.0.0.0/0      scram-sha-256
END
  chown -R postgres:postgres "$CONFIGURATION"
}

start_server() {
  if test -s "$ROOT/PG_VERSION"; then
    pg_createcluster "$POSTGRESQL_MAJOR" main --datadir "$ROOT"
  elif compgen -G "$PARENT/*/main/PG_VERSION" >/dev/null; then
    log "the volume holds another major version than $POSTGRESQL_MAJOR: upgrade it with pg_upgrade, or set the version back"
    return 1
  else
    pg_createcluster "$POSTGRESQL_MAJOR" main --datadir "$ROOT" --encoding UTF8 --locale C.UTF-8 -- --data-checksums
  fi
  write_configuration
  systemctl enable --now "postgresql@$POSTGRESQL_MAJOR-main"
  for _ in $(seq 600); do
    runuser -u postgres -- pg_isready -q && return
    sleep 1
  done
  log "the server does not accept connections"
  return 1
}

# The password goes by the environment of one process of the server's own user, never by an argument or a file.
create_login() {
  local secret
  secret=$(aws secretsmanager get-secret-value --secret-id "$SECRET_ARN" --query SecretString --output text)
  LOGIN=$(jq -er .username <<<"$secret") PASSWORD=$(jq -er .password <<<"$secret") \
    runuser -u postgres -- psql -X -q -v ON_ERROR_STOP=1 <<'SQL'
\getenv login LOGIN
\getenv password PASSWORD
\getenv database DATABASE
SELECT format('CREATE ROLE %I', :'login') WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'login') \gexec
SELECT format('ALTER ROLE %I LOGIN NOSUPERUSER CREATEROLE PASSWORD %L', :'login', :'password') \gexec
SELECT format('CREATE DATABASE %I OWNER %I', :'database', :'login')
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'database') \gexec
SQL
  runuser -u postgres -- psql -X -q -v ON_ERROR_STOP=1 -d "$DATABASE" <<'SQL'
CREATE EXTENSION IF NOT EXISTS timescaledb;
CREATE EXTENSION IF NOT EXISTS pg_stat_statements;
SQL
  # The first statement of a session, as an update of TimescaleDB wants it.
  runuser -u postgres -- psql -X -q -v ON_ERROR_STOP=1 -d "$DATABASE" -c 'ALTER EXTENSION timescaledb UPDATE'
}

# --- Where clients find it, and who notices when it stops answering.

publish_address() {
  local address
  address=$(metadata local-ipv4)
  jq -n --arg name "$RECORD_NAME" --arg address "$address" '{Changes: [{Action: "UPSERT", ResourceRecordSet:
    {Name: $name, Type: "A", TTL: 10, ResourceRecords: [{Value: $address}]}}]}' >/run/record.json
  aws route53 change-resource-record-sets --hosted-zone-id "$ZONE_ID" --change-batch file:///run/record.json >/dev/null
}

# 2 is pg_isready's "no response"; a server that is starting or recovering says 1 and is left alone.
watch_server() {
  cat >/usr/local/sbin/watch-database <<END
#!/bin/bash
failures=0
while sleep 30; do
  code=0
  runuser -u postgres -- pg_isready -q || code=\$?
  if test "\$code" -ge 2; then failures=\$((failures + 1)); else failures=0; fi
  if test "\$failures" -ge 10; then
    AWS_DEFAULT_REGION=$REGION aws autoscaling set-instance-health --instance-id $INSTANCE_ID --health-status Unhealthy --no-should-respect-grace-period
    failures=0
  fi
done
END
  chmod 0750 /usr/local/sbin/watch-database
  cat >/etc/systemd/system/watch-database.service <<END
[Unit]
Description=Asks for another instance when the database does not answer for five minutes
[Service]
ExecStart=/usr/local/sbin/watch-database
Restart=always
[Install]
WantedBy=multi-user.target
END
  systemctl daemon-reload
  systemctl enable --now watch-database
}

main() {
  trap 'give_up $LINENO' ERR
  INSTANCE_ID=$(metadata instance-id)
  install_basics
  install_database
  attach_volume
  mount_volume
  start_server
  create_login
  publish_address
  watch_server
  install_agent || log "there is no agent for sessions; the database serves without it"
  log "ready"
}

if [[ "${BASH_SOURCE[0]:-$0}" == "$0" ]]; then
  main
fi
