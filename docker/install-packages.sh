#!/bin/sh
# Installs system packages by what they are for, on Rocky Linux (the production base) and on Debian.
# usage: install-packages.sh WHAT…    with WHAT one of ssh, postgresql, blosc, containers, cluster (Debian only), download, wheels
# What is there already is left alone, so that a base image which carries everything needs no network.
set -eu

if command -v dnf >/dev/null 2>&1; then manager=dnf
elif command -v microdnf >/dev/null 2>&1; then manager=microdnf
elif command -v yum >/dev/null 2>&1; then manager=yum
elif command -v apt-get >/dev/null 2>&1; then manager=apt-get
else echo "install-packages.sh: none of dnf, microdnf, yum, apt-get is in this base image; choose another BASE_IMAGE" >&2; exit 1
fi

# The headers of the very Python that the wheels are for.
python_version() {
  "${VIRTUAL_ENV:-/opt/omero/server/venv3}/bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])'
}

names() {
  case "$manager:$1" in
    apt-get:ssh) echo openssh-client ;;
    *:ssh) echo openssh-clients ;;
    apt-get:postgresql) echo libpq5 ;;
    *:postgresql) echo libpq ;;
    apt-get:blosc) echo libblosc1 ;;
    *:blosc) echo blosc ;;
    # What runs jobs of a machine without Slurm. Debian packages no Apptainer of its own in every release.
    *:containers) echo apptainer ;;
    # docker/cluster, and what a worker asks for there.
    apt-get:cluster) echo slurmctld slurmd slurmdbd slurm-client munge mariadb-server openssh-server p7zip-full ;;
    apt-get:download) echo curl ca-certificates unzip ;;
    # curl itself is part of every Rocky image, as curl-minimal, with which the full package conflicts.
    *:download) echo unzip ;;
    apt-get:wheels) echo gcc python3-dev libpq-dev ;;
    *:wheels)
      case "$(python_version)" in
        3.9) echo gcc python3-devel libpq-devel ;;
        *) echo gcc "python$(python_version)-devel" libpq-devel ;;
      esac ;;
    *) echo "install-packages.sh: '$1' is not known; it takes ssh, postgresql, blosc, containers, cluster, download, wheels" >&2; exit 1 ;;
  esac
}

installed() {
  case "$manager" in
    apt-get) [ "$(dpkg-query --show --showformat '${db:Status-Status}' "$1" 2>/dev/null)" = installed ] ;;
    *) rpm --query --quiet "$1" ;;
  esac
}

# On Rocky Apptainer comes from EPEL, which has to be there before it is asked for.
case " $* " in
  *' containers '*)
    if [ "$manager" != apt-get ] && ! rpm --query --quiet apptainer && ! rpm --query --quiet epel-release; then
      "$manager" install -y --setopt=install_weak_deps=0 epel-release
    fi ;;
esac

missing=
for what in "$@"; do
  packages=$(names "$what") || exit 1
  for package in $packages; do installed "$package" || missing="$missing $package"; done
done
[ -n "$missing" ] || exit 0
echo "installing:$missing"
# Unquoted on purpose: a list of names.
if [ "$manager" = apt-get ]; then
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -q
  apt-get install -q -y --no-install-recommends $missing
  apt-get clean
  rm -rf /var/lib/apt/lists/*
else
  "$manager" install -y --setopt=install_weak_deps=0 $missing
  "$manager" clean all
fi
