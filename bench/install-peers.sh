#!/usr/bin/env bash
# Installs what `npm run bench` compares with: etcd, ZooKeeper and Redis from Debian's packages (as root), and their clients from npm.
# Without it the benchmark runs, and names what it passes over.
set -euo pipefail
cd "$(dirname "$0")/peers"

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  export DEBIAN_FRONTEND=noninteractive
  # The benchmark starts servers of its own: those of the packages are not to run.
  policy=/usr/sbin/policy-rc.d
  made_policy=
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
    made_policy=1
  fi
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends etcd-server redis-server zookeeper default-jre-headless >/dev/null
  if [ -n "$made_policy" ]; then rm "$policy"; fi
else
  echo 'not root, or no apt-get: install etcd, redis-server and ZooKeeper (zkServer.sh) yourself'
fi
npm ci --ignore-scripts
