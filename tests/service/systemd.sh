#!/bin/sh
# SPDX-License-Identifier: MIT
# The service under a systemd of its own: the unit as it is installed, in a Debian tree that is left untouched.
#
#	tests/service/systemd.sh TREE DESTDIR       as root; prints TAP
#
# TREE: from debootstrap, with systemd and the libraries that Limpet needs.  DESTDIR: what "make install
# DESTDIR=..." left after configure --prefix=/usr --sysconfdir=/etc --with-systemdsystemunitdir=/lib/systemd/system.
# A mount, process and control group namespace is made for it; ports 18180 and 981 of this machine are used.
set -u
tree=${1:?usage: systemd.sh TREE DESTDIR}
dest=${2:?usage: systemd.sh TREE DESTDIR}
[ "$(id -u)" = 0 ] || { echo "1..0 # SKIP needs root"; exit 0; }
[ -x "$tree/lib/systemd/systemd" ] || { echo "1..0 # SKIP no systemd in $tree"; exit 0; }
failed=0
work=$(mktemp -d)
cgroups=/sys/fs/cgroup
[ -d $cgroups/unified ] && cgroups=$cgroups/unified
group=$cgroups/limpet-test-$$
root=$work/root

cat >"$work/boot" <<X
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs $work/layer
mkdir $work/layer/upper $work/layer/work
mount -t overlay overlay -o lowerdir=$tree,upperdir=$work/layer/upper,workdir=$work/layer/work $root
mount -t proc proc $root/proc
mount -t sysfs sysfs $root/sys
mount -t cgroup2 cgroup2 $root/sys/fs/cgroup
for each in run tmp dev; do mount -t tmpfs tmpfs $root/\$each; done
for each in null zero full random urandom tty; do touch $root/dev/\$each; mount --bind /dev/\$each $root/dev/\$each; done
ln -s /proc/self/fd $root/dev/fd
cp -r $dest/usr/. $root/usr/
cp -r $dest/lib/. $root/usr/lib/
mkdir -p $root/etc/limpet $root/etc/systemd/system/limpet.service.d
cat >$root/etc/limpet/limpet.yaml <<Y
global:
  threads: 2
  pid_file: /run/limpet/limpet.pid
  stats: {socket: "unix:/run/limpet/limpet.sock"}
frontends:
  web: {bind: ["127.0.0.1:18180", "127.0.0.1:981"], routes: [{respond: {status: 204}}]}
Y
# This /dev is too poor for PrivateDevices=; the watchdog is made quick.
printf '[Service]\nPrivateDevices=no\nWatchdogSec=3\n' >$root/etc/systemd/system/limpet.service.d/test.conf
printf '[Unit]\nDefaultDependencies=no\n' >$root/usr/lib/systemd/system/limpet-test.target
exec chroot $root /usr/bin/env -i container=unshare PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system \
	--unit=limpet-test.target --log-target=null --show-status=no
X
mkdir "$root" "$work/layer" "$group"
(
	sh -c 'echo $PPID' >"$group/cgroup.procs"
	exec unshare --mount --pid --fork --uts --ipc --cgroup --kill-child sh "$work/boot"
) >"$work/log" 2>&1 &
boot=$!
init=
finish() {
	[ -n "$init" ] && kill -9 "$init" 2>/dev/null
	kill "$boot" 2>/dev/null
	wait "$boot" 2>/dev/null
	find "$group" -depth -type d -exec rmdir {} \; 2>/dev/null
	[ $failed = 0 ] || sed "s/^/# /" "$work/log"
	rm -rf "$work"
}
trap finish EXIT
inside() { nsenter -t "$init" -m -p -u -i -C chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"; }
main_pid() { inside systemctl show -p MainPID --value limpet; }

n=0
ok() { # what, status
	n=$((n + 1))
	if [ "$2" = 0 ]; then echo "ok $n - $1"; else echo "not ok $n - $1" && failed=1; fi
}
# Asks each 100 ms, for 20 s at most.
until_true() {
	turns=0
	while ! "$@" >/dev/null 2>&1; do
		turns=$((turns + 1))
		[ $turns -gt 200 ] && return 1
		sleep 0.1
	done
}
has_init() {
	init=$(cat "/proc/$boot/task/$boot/children") && init=${init% } && [ "$(cat "/proc/$init/comm")" = systemd ]
}
runs() { inside systemctl is-system-running; }
is_other() { [ "$(main_pid)" != "$1" ] && [ "$(main_pid)" != 0 ]; }
has_state() { [ "$(inside systemctl is-active limpet)" = "$1" ]; }

until_true has_init && until_true runs
ok "a systemd of our own runs" $?
[ $failed = 0 ] || exit 1
inside systemd-sysusers >/dev/null 2>&1 && inside systemctl start limpet
ok "the unit starts" $?
pid=$(main_pid)
inside grep -q 'CapEff:.*0000000000000400' "/proc/$pid/status" && inside grep -q 'Seccomp:.*2' "/proc/$pid/status"
ok "it may bind low ports and nothing else, under a filter" $?
inside systemctl reload limpet && [ "$(main_pid)" = "$pid" ]
ok "reload: the same process" $?
for turn in 1 2 3; do
	inside systemctl kill -s USR2 --kill-whom=main limpet
	until_true is_other "$pid" && has_state active && [ "$(inside cat /run/limpet/limpet.pid)" = "$(main_pid)" ]
	ok "upgrade $turn: another main process, the service stays active" $?
	until_true sh -c "! [ -e $root/proc/$pid ]"
	pid=$(main_pid)
done
inside limpetctl -s /run/limpet/limpet.sock upgrade | grep -q Success=1 && until_true is_other "$pid"
ok "limpetctl upgrade" $?
pid=$(main_pid)
inside kill -9 "$pid" && until_true is_other "$pid" && until_true has_state active
ok "a process that took over and dies is seen, and the service is started again" $?
pid=$(main_pid)
inside kill -STOP "$pid" && until_true is_other "$pid" && until_true has_state active
ok "the watchdog ends one that hangs" $?
inside sed -i s/frontends:/frontendz:/ /etc/limpet/limpet.yaml
! inside systemctl reload limpet 2>/dev/null && has_state active
ok "a reload of a broken file fails, and the service is as it was" $?
inside systemctl stop limpet && has_state inactive
ok "it stops" $?
echo "1..$n"
exit $failed
