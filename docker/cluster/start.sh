#!/bin/bash
# Makes what is missing of the way in, then starts the daemons one after the other; ends when one of them does.
set -euo pipefail

# Kept in volumes, so that a worker goes on when this container is made anew.
mkdir -p /data/my-scratch
chown biomero: /data/my-scratch
[ -e /data/ssh_host_ed25519_key ] || ssh-keygen -q -t ed25519 -N '' -C cluster -f /data/ssh_host_ed25519_key
if [ ! -e /keys/id_ed25519 ]; then
  ssh-keygen -q -t ed25519 -N '' -C biomero -f /keys/id_ed25519
  # The worker's user has the number of ours.
  chown biomero /keys/id_ed25519
  printf 'Host localslurm\n  HostName cluster\n  User biomero\n  IdentityFile ~/.ssh/id_ed25519\n' >/keys/config
fi
read -r kind key _ </data/ssh_host_ed25519_key.pub
echo "cluster $kind $key" >/keys/known_hosts

start() { # USER COMMAND…
  local user=$1
  shift
  echo "start.sh: $*"
  setpriv --reuid "$user" --regid "$user" --clear-groups -- "$@" &
}

ready() { # COMMAND…
  for _ in {1..240}; do
    # A daemon that has ended is not waited for.
    [ "$(jobs -pr | wc -l)" -eq "$(jobs -p | wc -l)" ] || break
    ! "$@" >/dev/null 2>&1 || return 0
    sleep 0.5
  done
  echo "start.sh: no success of: $*" >&2
  exit 1
}

# shellcheck disable=SC2046
trap 'trap - EXIT; kill $(jobs -p) 2>/dev/null; wait' EXIT
trap 'exit 0' TERM INT

# What a container that was stopped has left.
rm -f /run/sshd.pid
install -d /run/sshd /var/lib/slurm/slurmd
install -d -o munge -g munge /run/munge
install -d -o mysql -g mysql /run/mysqld
install -d -o slurm -g slurm /run/slurm /var/lib/slurm/slurmctld
install -o munge -g munge -m 0400 /dev/null /etc/munge/munge.key
head -c 1024 /dev/urandom >/etc/munge/munge.key

start munge munged --foreground --force
ready munge --no-input
start mysql mariadbd
ready mariadb-admin ping
mariadb -e "CREATE DATABASE IF NOT EXISTS slurm_acct_db;
  CREATE USER IF NOT EXISTS slurm@localhost IDENTIFIED VIA unix_socket;
  GRANT ALL ON slurm_acct_db.* TO slurm@localhost"
start slurm slurmdbd -D
ready sacctmgr --noheader list cluster
start slurm slurmctld -D
ready scontrol ping
[ -n "$(sacctmgr --noheader --parsable2 list association user=biomero)" ] \
  || { sacctmgr --immediate add account lab && sacctmgr --immediate add user biomero account=lab; }
start root slurmd -D
ready sh -c 'sinfo --noheader --responding | grep .'
start root /usr/sbin/sshd -D -e
# Whichever is the first to end ends the others.
status=0
wait -n || status=$?
echo "start.sh: a daemon has ended with $status" >&2
exit 1
