#!/bin/sh
# Starts Colima, and stays for as long as its virtual machine runs. launchd starts this at boot, and again when it ends.
#
#   colima-boot.sh [PROFILE]
#
# After a power cut there are files of processes that no longer exist: pid files, sockets, and the link `in_use_by`, which
# reserves the disk. With these, `colima start` fails, or takes another process for its own, because the number in a pid
# file may be any process's by now. `colima stop --force` would kill that process, so it is not used here.
# The files are removed only while no process of the virtual machine exists and nothing has its disks open.
#
# COLIMA_HOME, LIMA_HOME: as for Colima. COLIMA_BOOT_LOG: the file that our output goes to; it is kept small.
# COLIMA_BOOT_EVERY: seconds between two looks.
set -u

profile=${1:-default}
home=${COLIMA_HOME:-$HOME/.colima}
lima=${LIMA_HOME:-$home/_lima}
every=${COLIMA_BOOT_EVERY:-10}
case $profile in
    default | colima) profile=default instance=colima ;;
    *) instance=colima-$profile ;;
esac
# Lima's own programs name their folder with links resolved.
lima=$( (CDPATH='' cd -P -- "$lima" 2>/dev/null && pwd -P) || printf '%s\n' "$lima")
folder=$lima/$instance
disk=$lima/_disks/$instance
network=$lima/_networks/user-v2
daemon=$home/$profile/daemon/daemon.pid

say() { printf '%s colima-boot: %s\n' "$(date '+%Y-%m-%dT%H:%M:%S%z')" "$*"; }

keep_log_small() {
    [ -n "${COLIMA_BOOT_LOG:-}" ] && [ -f "$COLIMA_BOOT_LOG" ] || return 0
    [ "$(wc -c <"$COLIMA_BOOT_LOG")" -gt 1048576 ] || return 0
    # launchd opens it for appending, so it can be emptied while it is open.
    cp "$COLIMA_BOOT_LOG" "$COLIMA_BOOT_LOG.1" && : >"$COLIMA_BOOT_LOG"
}

processes() { ps -Aww -o args=; }

# lima_in FOLDER: Lima's processes that name a file in it. awk gets the folder by its environment, because on its command
# line it would find itself.
lima_in() {
    processes | within=$1 awk '
        !/(^|[\/ ])(limactl|krunkit|lima-driver-[a-z]+|qemu-system-[a-z0-9_]+)( |$)/ { next }
        { at = index($0, ENVIRON["within"]) }
        at && substr($0, at + length(ENVIRON["within"]), 1) ~ /^[\/ ]?$/'
}

# Whoever starts, stops or changes a virtual machine at this moment.
commands() {
    processes | awk '/(^|[\/ ])(colima|limactl) +(start|stop|restart|delete|update|edit|clone|prune|disk)( |$)/'
}

# Whoever has a disk open. With vz this may be a process of macOS, which names no file of ours.
disk_users() {
    command -v lsof >/dev/null 2>&1 || return 0
    for file in "$disk/datadisk" "$folder/disk" "$folder/diffdisk"; do
        if [ -e "$file" ]; then lsof -- "$file" 2>/dev/null | sed 1d; fi
    done
}

runs() { [ -n "$(lima_in "$folder")" ]; }
others() { commands && disk_users; }

# The sleep is in the background, so that a signal is answered at once.
waits() {
    sleep "$every" &
    wait $!
}

drop() {
    for file in "$@"; do
        if [ -e "$file" ] || [ -h "$file" ]; then
            rm -f -- "$file" && say "removed $file: its process no longer exists"
        fi
    done
}

drop_leftovers() {
    holder=$(readlink "$disk/in_use_by" 2>/dev/null)
    case $holder in
        '') ;;
        */"$instance") drop "$disk/in_use_by" ;;
        *) say "$disk/in_use_by stays, because it names another virtual machine: $holder" ;;
    esac
    drop "$folder"/*.pid "$folder"/*.sock
    # The network belongs to all virtual machines of this account together.
    [ -n "$(lima_in "$network")" ] || drop "$network"/*.pid "$network"/*.sock
    if [ -f "$daemon" ]; then
        number=$(tr -cd 0-9 <"$daemon")
        case $(ps -ww -p "${number:-0}" -o args= 2>/dev/null) in
            *colima*daemon*) ;;
            *) drop "$daemon" ;;
        esac
    fi
}

start=''
# shellcheck disable=SC2317 # called by the trap
end() {
    trap : TERM INT
    say "asked to end: stopping Colima"
    [ -z "$start" ] || kill "$start" 2>/dev/null
    colima stop "$profile"
    say "ended"
    exit 0
}
trap end TERM INT

keep_log_small
said=''
while ! runs; do
    found=$(others)
    if [ -n "$found" ]; then
        if [ -z "$said" ]; then
            said=yes
            say "nothing is removed or started as long as this runs:"
            printf '%s\n' "$found"
        fi
        waits
        continue
    fi
    drop_leftovers
    say "starting Colima"
    colima start "$profile" &
    start=$!
    wait "$start"
    code=$?
    start=''
    if [ "$code" -ne 0 ] || ! runs; then
        say "Colima did not start (exit code $code), and launchd tries again; see $folder/ha.stderr.log"
        exit 1
    fi
done
say "Colima runs"
while runs; do waits; done
say "the virtual machine has ended, and launchd starts it again"
exit 1
