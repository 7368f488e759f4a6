# Shared functions of the checks in tests/debian. Sourced.

unit=pstree-exporter.service

fail() {
    echo "FAILED: $*"
    journalctl --no-pager --output=cat --unit="$unit" | tail -n 15
    exit 1
}

# equal WHAT GOT WANT
equal() {
    [ "$2" = "$3" ] || fail "$1 is $2, want $3"
    echo "ok: $1 is $2"
}

# status FIELD: a field in /proc/PID/status of the service's process
status() {
    awk -v field="$1:" '$1 == field { print $2 }' "/proc/$(systemctl show --property=MainPID --value "$unit")/status"
}
