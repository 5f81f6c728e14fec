#!/usr/bin/env bash
# Runs the README's two commands where a newcomer runs them: in a bare Debian that holds nothing but what the README
# says to install, as a user without rights, from a fresh clone of what is committed here, with PyPI alone.
#
#     sudo tools/fresh_machine.sh [FOLDER [SUITE ...]]     # FOLDER: /var/tmp/fresh-machine; suites: trixie bookworm
#
# Wants debootstrap, 20 GB and up to an hour a suite. Prints a line a command: exit status, minutes, bytes received
# by this machine meanwhile. CERTIFICATES=FILE: a bundle for pip, where a proxy signs with an authority of its own.
# The folder of a suite is removed at the end; its logs stay.
set -euo pipefail

if [ "${1:-}" = --inside ]; then # in namespaces of its own, so that mounts go when it ends, however it ends
    root=$2 log=$3
    mount --rbind /dev "$root/dev"
    mount -t proc proc "$root/proc"
    environment=(HOME=/home/newcomer LANG=C.UTF-8 PATH=/usr/local/bin:/usr/bin:/bin)
    [ -z "${CERTIFICATES:-}" ] || environment+=(PIP_CERT=/etc/pip-certificates.pem SSL_CERT_FILE=/etc/pip-certificates.pem)
    received() { awk '$1 != "lo:" && NR > 2 { sum += $2 } END { printf "%.0f", sum }' /proc/net/dev; }
    status=0
    for command in demo test; do
        if [ "$command" = demo ]; then packages=$DEMO_PACKAGES; else packages=$TEST_PACKAGES; fi
        # shellcheck disable=SC2086 # several packages
        chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive \
            apt-get install -yq --no-install-recommends $packages >"$log-apt.txt" 2>&1
        before=$(received) start=$SECONDS result=0
        chroot --userspec=newcomer:newcomer "$root" env -i "${environment[@]}" \
            bash -c "cd ~/sovits-export && exec make $command" >"$log-$command.txt" 2>&1 </dev/null || result=$?
        awk -v name="$(basename "$log"), make $command (apt: $packages)" -v rc=$result -v seconds=$((SECONDS - start)) \
            -v bytes=$(($(received) - before)) \
            'BEGIN { printf "%s: exit %d, %.1f min, %.2f GB received\n", name, rc, seconds / 60, bytes / 1e9 }'
        [ "$result" = 0 ] || status=1
    done
    exit $status
fi

here=$(cd "$(dirname "$0")/.." && pwd)
base=${1:-/var/tmp/fresh-machine}
shift $(($# > 0))
[ "$(id -u)" = 0 ] || { echo "error: debootstrap and chroot want root: sudo $0" >&2; exit 2; }
command -v debootstrap >/dev/null || { echo "error: debootstrap is not installed: apt install debootstrap" >&2; exit 2; }
# What the README says to install, and no more.
DEMO_PACKAGES=$(sed -n 's/^sudo apt install \([a-z0-9 .+-]*[a-z0-9+]\) *# make demo.*/\1/p' "$here/README.md")
TEST_PACKAGES=$(sed -n 's/^sudo apt install \([a-z0-9 .+-]*[a-z0-9+]\) *# make test.*/\1/p' "$here/README.md")
if [ -z "$DEMO_PACKAGES" ] || [ -z "$TEST_PACKAGES" ]; then echo "error: README.md names no packages" >&2; exit 1; fi
export DEMO_PACKAGES TEST_PACKAGES
[ $# -gt 0 ] || set -- trixie bookworm
mkdir -p "$base"
failed=0
for suite; do
    root=$base/$suite
    if [ -e "$root" ] && [ ! -e "$root/etc/debian_version" ]; then
        echo "error: $root is there and is no Debian root; name another folder" >&2
        exit 2
    fi
    rm -rf "$root"
    debootstrap --variant=minbase "$suite" "$root" >"$base/$suite-debootstrap.txt" 2>&1
    cp /etc/resolv.conf "$root/etc/resolv.conf"
    [ -z "${CERTIFICATES:-}" ] || cp "$CERTIFICATES" "$root/etc/pip-certificates.pem"
    chroot "$root" useradd --create-home newcomer
    git clone -q "$here" "$root/home/newcomer/sovits-export"
    chroot "$root" chown -R newcomer:newcomer /home/newcomer/sovits-export
    unshare --mount --pid --fork --kill-child "$0" --inside "$root" "$base/$suite" || failed=1
    rm -rf "$root"
done
exit $failed
