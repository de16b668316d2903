# Boots a copy of this machine at $1, with the systemd $2 as its PID 1, and clears up when that is gone. TERM ends it.
#
# Nothing of this machine can be written in it but what devices like /dev/null take: /tmp, /run and /dev are its own, / is an overlay,
# /sys and /proc/sys are read-only, and modules, the clock and the kernel's log are out of reach.
set -eu
place=$1 systemd=$2
root=$place/root group=$place/cgroup/${1##*/}
sweep() {
    [ ! -e "$group" ] || find "$group" -depth -type d -exec rmdir '{}' +
    umount --lazy "$place"
    rmdir "$place"
}
trap sweep EXIT
# Whoever asked for it may be gone before it is there: that is seen further below.
trap '' TERM PIPE

mount -t tmpfs -o mode=755 tmpfs "$place"
mkdir "$place/upper" "$place/work" "$place/cgroup" "$root"
# Mounted anew, for it is somewhere else on each machine, or nowhere. A systemd wants a group of its own.
mount -t cgroup2 cgroup2 "$place/cgroup"
mkdir "$group"

mount -t overlay overlay -o "lowerdir=/,upperdir=$place/upper,workdir=$place/work" "$root"
for folder in dev run tmp; do mount -t tmpfs -o mode=755 tmpfs "$root/$folder"; done
chmod 1777 "$root/tmp"
for node in null zero full random urandom tty; do
    : > "$root/dev/$node"
    mount --bind "/dev/$node" "$root/dev/$node"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
# No disk of this machine's is mounted there, and it is no machine's first boot, at which everything would be enabled.
: > "$root/etc/fstab"
rm -rf "$root/etc/machine-id" "$root/var/log/journal"
echo 0123456789abcdef0123456789abcdef > "$root/etc/machine-id"

boot='
    # By this machine'\''s /proc: the number that the next PID 1 has here.
    read -r number rest < /proc/self/stat
    echo "$number" > "$2/number"
    cd "$1"
    mount -t proc proc proc
    mount --bind proc/sys proc/sys
    mount -o remount,bind,ro proc/sys
    [ ! -e proc/sysrq-trigger ] || mount --bind dev/null proc/sysrq-trigger
    mount -t sysfs -o ro sysfs sys
    mount -t cgroup2 cgroup2 sys/fs/cgroup
    ip link set lo up
    # What lies in /tmp is removed by what boots next: it is to be nobody else'\''s.
    [ -z "$(ls -A tmp)" ] || { echo "its /tmp is not its own"; exit 1; }
    exec chroot . env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin \
        setpriv --bounding-set=-sys_module,-sys_time,-sys_rawio,-syslog,-audit_control \
        "$3" --log-target=console --unit=basic.target
'
mkfifo "$place/number"
{
    # Without a namespace there is no number, and nobody would wait for one again: a pipe that is opened for both never waits.
    sh -c 'echo $$ > "$1/cgroup.procs"; shift; exec "$@"' sh "$group" \
        unshare --mount --pid --fork --uts --ipc --net --cgroup sh -euc "$boot" sh "$root" "$place" "$systemd" \
        || echo 0 1<> "$place/number"
} &
read -r init < "$place/number"
[ "$init" != 0 ] || exit 1
trap 'kill -KILL "$init"' TERM
echo "booting as $init" || kill -KILL "$init"
# A TERM interrupts it; and one comes for each thread of a test that is killed.
until wait; do :; done
