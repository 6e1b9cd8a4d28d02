#!/bin/bash
# Purging takes the configuration and everything that was kept. The users stay, so that no file falls to another.
set -euo pipefail

if [ "$1" = purge ]; then
  rm -rf /etc/viewlink /var/lib/viewlink /var/cache/viewlink /run/viewlink /run/viewlink-drives
fi
if [ "$1" = remove ]; then
  rm -rf /var/cache/viewlink /run/viewlink
fi
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
  systemctl reset-failed 'viewlink-*' 2>/dev/null || true
fi
