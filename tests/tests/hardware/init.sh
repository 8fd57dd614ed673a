#!/bin/busybox sh
# The first process of an emulated machine: mounts what there is, loads modules, and runs the tests of the plan.
#
# For the test outside, it prints lines that begin with '@' on the console: `@start TEST`, then `@end STATUS TEST`, and of a
# test that failed, before that, `@out TEST: LINE`. In between, `@alive` says that the machine gets on: its clock may be many
# times slower than the one outside, and a test's time limit is by the machine's.

/bin/busybox mkdir -p /proc /sys /dev /tmp /lab /etc /root /usr /run
/bin/busybox --install -s /bin
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
mount -t tmpfs none /tmp
exec < /dev/null > /dev/console 2>&1
for module in $(cat /modules/order); do insmod "/modules/$module" 2> /dev/null; done

# The disk, once the kernel has found it.
for attempt in $(seq 100); do
    for disk in /dev/vda /dev/sr0; do
        [ -b "$disk" ] && mount -t iso9660 -o ro "$disk" /lab 2> /dev/null && break 2
    done
    usleep 100000
done
[ -f /lab/plan ] || { echo "@broken the disk is not there"; poweroff -f; }
[ -c /dev/kvm ] || { echo "@broken there is no /dev/kvm"; dmesg | tail -30; poweroff -f; }
cp -a /lab/root/* /
mkdir -p /dev/net
[ -c /dev/net/tun ] || mknod /dev/net/tun c 10 200
ifconfig lo 127.0.0.1 up
echo 'root:x:0:0::/root:/bin/sh' > /etc/passwd
: > /etc/resolv.conf
hostname lab

. /lab/settings
export PATH=/lab/bin:/bin HUSK_PREBUILT=/lab TMPDIR=/tmp HUSK_SLOW HUSK_TARGET

# Runs one test: its executable, its name, and how many seconds it may take.
cat > /bin/one << 'END'
#!/bin/busybox sh
executable=$1 name=$2 limit=$3
echo "@start $executable::$name"
output=/tmp/output.$$
cd /tmp
timeout -s KILL "$limit" "/lab/tests/$executable" --exact --nocapture --test-threads=1 "$name" > "$output" 2>&1
status=$?
grep -q '1 passed' "$output" || [ "$status" != 0 ] || status=none
if [ "$status" != 0 ]; then
    # A test that was killed leaves its guests behind, as children of the first process.
    for guest in $(ps -o pid,ppid,comm | awk '$2 == 1 && $3 == "husk" { print $1 }'); do kill -KILL "$guest"; done
    tail -n 60 "$output" | cut -c 1-2000 | sed "s/^/@out $executable::$name: /"
else
    grep -F '*** SKIPPED' "$output" | sed "s/^/@out $executable::$name: /"
fi
rm -f "$output"
echo "@end $status $executable::$name"
END
chmod +x /bin/one
echo "@ready $(nproc) $(uname -r)"
while sleep 20; do echo "@alive"; done &
xargs -P "$AT_ONCE" -n 3 one < /lab/plan
echo "@done"
# What the serial line has not sent yet is lost with the power.
sleep 2
poweroff -f
