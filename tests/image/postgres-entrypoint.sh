#!/bin/sh
# What the entrypoint of the official image does, as far as deploy/compose.yaml needs it.
set -e
[ "$1" = postgres ] || exec "$@"

data=/var/lib/postgresql/data
as_postgres() { setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; }

mkdir -p $data /var/run/postgresql
chown postgres:postgres $data /var/run/postgresql
chmod 0700 $data
if [ ! -s $data/PG_VERSION ]; then
  as_postgres initdb --pgdata=$data --username="$POSTGRES_USER" --pwfile="$POSTGRES_PASSWORD_FILE" --locale=C \
    --encoding=UTF8 --auth-local=trust --auth-host=scram-sha-256 --no-sync
  echo 'host all all all scram-sha-256' >>$data/pg_hba.conf
  as_postgres pg_ctl --pgdata=$data --wait start -o "-c listen_addresses= -c fsync=off"
  as_postgres psql -U "$POSTGRES_USER" -d postgres -c "create database \"$POSTGRES_DB\""
  as_postgres pg_ctl --pgdata=$data --wait stop
fi
exec setpriv --reuid=postgres --regid=postgres --clear-groups postgres -D $data -c listen_addresses='*'
