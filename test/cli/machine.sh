# Sourced by nobody: run as `unshare -m -n sh machine.sh SCRATCH COMMAND...`: a machine of its own for one test, as it comes
# from the factory: its own /etc, /run and /var/lib, a network of its own.
set -eu
scratch=$1
shift
ip link set lo up
cp -a /etc "$scratch/etc"
rm -rf "$scratch/etc/viewlink"
mkdir -p "$scratch/etc/viewlink"
mount --bind "$scratch/etc" /etc
mount -t tmpfs none /run
mount -t tmpfs none /var/lib
mkdir /run/viewlink /var/lib/viewlink
exec "$@"
