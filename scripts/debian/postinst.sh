#!/bin/bash
# Users, directories, units. Nothing starts without a configuration; what ran goes on with the new version.
set -euo pipefail

[ "$1" = configure ] || exit 0
configuration=/etc/viewlink/gateway.yaml

systemd-sysusers viewlink.conf
systemd-tmpfiles --create viewlink.conf || true
if [ -z "${2:-}" ]; then
  systemctl --no-reload preset viewlink.target
fi

if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
  /lib/systemd/systemd-sysctl 60-viewlink.conf || true
  systemctl try-restart systemd-journald.service || true
  # A file that sshd does not understand must not take the way in away.
  if command -v sshd >/dev/null && sshd -t; then systemctl try-reload-or-restart ssh.service || true; fi
  if [ -e "$configuration" ]; then
    if [ -n "${2:-}" ]; then systemctl try-restart viewlink.target; else systemctl start viewlink.target; fi
  fi
fi
if [ ! -e "$configuration" ]; then
  echo "viewlink-gateway: no configuration yet, nothing was started. To begin: systemctl start viewlink.target, then vlink configure."
  echo "It begins with factory settings: nothing listens and nobody is admitted. All keys: /usr/share/viewlink/gateway.yaml"
fi
