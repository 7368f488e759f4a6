# Removes everything that an engine of the tests leaves behind, also when its daemon is hanging, stopped or killed.
#   sh remove-engine.sh DIRECTORY ADDRESS
# Begins when the standard input ends, which happens when the test binary ends, also by a signal.
directory=$1
trap '' INT TERM HUP
cat >/dev/null

ids=$(ls "$directory/data/containers" 2>/dev/null | grep -x '[0-9a-f]\{64\}')
pid=$(cat "$directory/pid" 2>/dev/null)
if [ -n "$pid" ] && [ -e "/proc/$pid/exe" ]; then
    kill -CONT "$pid"
    docker --host "$2" ps -aq | xargs -r docker --host "$2" rm --force --volumes
    kill -TERM "$pid"
    tries=0
    # A zombie has no executable.
    while [ -e "/proc/$pid/exe" ] && [ $tries -lt 300 ]; do
        tries=$((tries + 1))
        sleep 0.1
    done
fi

# Containers that the daemon did not remove: their processes, and the monitors that were started for this directory.
for id in $ids; do
    find /sys/fs/cgroup -type d -name "*$id*" | while read -r cgroup; do
        xargs -r kill -KILL <"$cgroup/cgroup.procs"
    done
done
for process in /proc/[0-9]*; do
    if tr '\0' ' ' <"$process/cmdline" | grep -q "^[^ ]*containerd.* $directory/"; then
        kill -KILL "${process#/proc/}"
    fi
done
awk -v prefix="$directory/" 'index($2, prefix) == 1 { print $2 }' /proc/mounts | sort -r | xargs -r -n 1 umount --lazy
for id in $ids; do
    find /sys/fs/cgroup -depth -type d -name "*$id*" -exec rmdir {} \;
done
rm -rf "$directory"
