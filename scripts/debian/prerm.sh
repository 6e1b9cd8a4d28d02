#!/bin/bash
# What runs is stopped when the package goes; an upgrade leaves it running until the new version stands.
set -euo pipefail

[ "$1" = remove ] || exit 0
if [ -d /run/systemd/system ]; then
  systemctl stop viewlink.target 'viewlink-*' || true
fi
# Nobody is left who would change the packet filter.
nft delete table inet viewlink 2>/dev/null || true
systemctl --no-reload disable viewlink.target 2>/dev/null || true
