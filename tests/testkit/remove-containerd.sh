# Removes everything that a containerd of the tests leaves behind, also when a test fails or is killed.
#   sh remove-containerd.sh DIRECTORY PODS       PODS: beginning of the uids of its pods
# Begins when the standard input ends, which happens when the test binary ends, also by a signal.
directory=$1
trap '' INT TERM HUP
cat >/dev/null

pods() {
    find /sys/fs/cgroup -depth -type d -name "pod$1*" 2>/dev/null
}
for pod in $(pods "$2"); do
    find "$pod" -name cgroup.procs -exec cat {} + | xargs -r kill -KILL
done
# The daemon and the monitors of its containers.
for process in /proc/[0-9]*; do
    if tr '\0' ' ' <"$process/cmdline" 2>/dev/null | grep -q "^[^ ]*containerd.* $directory/"; then
        kill -KILL "${process#/proc/}"
    fi
done
awk -v prefix="$directory/" 'index($2, prefix) == 1 { print $2 }' /proc/mounts | sort -r | xargs -r -n 1 umount --lazy
tries=0
while [ -n "$(pods "$2")" ] && [ $tries -lt 100 ]; do
    tries=$((tries + 1))
    for pod in $(pods "$2"); do
        find "$pod" -depth -type d -exec rmdir {} + 2>/dev/null
    done
    sleep 0.1
done
# Unless they are in use.
for name in kubepods/besteffort kubepods; do
    for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/*; do
        rmdir "$hierarchy/$name" 2>/dev/null
    done
done
rm -rf "$directory"
