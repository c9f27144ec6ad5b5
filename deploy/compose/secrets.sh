#!/bin/sh
# Makes what is missing of deploy/compose/secrets: random, and once. Losing filterd_secret ends digest links and lets
# released messages be judged again; see docs/operations.md#backup-and-restore.
set -eu
cd "$(dirname "$0")"
mkdir -p secrets
# Compose gives a container the file as it is: whoever runs in it must be able to read it, nobody else on this machine.
chmod 700 secrets
umask 022

secret() { # name
    if [ ! -s "secrets/$1" ]; then od -An -v -tx1 -N32 /dev/urandom | tr -d ' \n' >"secrets/$1"; fi
}

secret filterd_secret
secret postgres_password
secret grafana_password
if [ ! -s secrets/database_url ]; then
    printf 'postgresql+asyncpg://filterd:%s@postgres/filterd' "$(cat secrets/postgres_password)" >secrets/database_url
fi
