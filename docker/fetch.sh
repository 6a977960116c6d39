#!/bin/sh
# Downloads one file and checks its SHA-256 before anything looks inside.
# usage: fetch.sh URL SHA256 TARGET
set -eu
url=$1 expected=$2 target=$3
curl --fail --silent --show-error --location --retry 3 --proto '=https' --output "$target" "$url"
found=$(sha256sum "$target" | cut -d' ' -f1)
[ "$found" != "$expected" ] || exit 0
rm -f "$target"
if [ -z "$expected" ]; then
  echo "fetch.sh: no digest was given for $url; it has $found. If you trust this, give it as the *_SHA256 build argument" >&2
else
  echo "fetch.sh: $url has the digest $found instead of $expected; do not use it before you know why" >&2
fi
exit 1
