#!/bin/sh
# Changes files of this Mac so that they return by themselves unless somebody confirms the change in time: guard.sh with
# launchd in place of systemd, and without GNU's programs.
#
#   guard start     starts the watch, then puts the files of `next` in their places
#   guard confirm   keeps them
#   guard back      puts the old files back: by the watch, or by hand
#   guard watch     waits for the confirmation; without one it calls `back`. launchd starts it, also at boot
#
# `next` and `pending` have: `files` (a path in each line), `new/N` for line N, and the shell scripts `check`, `apply`
# and `back`. A change is pending from the moment in which the folder has that name. Written by `reconciler bootstrap`.
set -eu
umask 077
PATH=/usr/bin:/bin:/usr/sbin:/sbin
home=/var/lib/reconciler-harden
guard=$home/guard
label=dev.reconciler.return
seconds=60
cd "$home"

# Only one of them works at a time, so that the watch does not put files back while they are still being written. macOS
# has no flock: the lock is a folder, and one of a dead process is removed.
alone() {
    tries=0
    until mkdir lock 2>/dev/null; do
        tries=$((tries + 1))
        holder=$(cat lock/pid 2>/dev/null || true)
        if [ $tries -gt 20 ] || { [ -n "$holder" ] && ! kill -0 "$holder" 2>/dev/null; }; then
            rm -rf lock
        else
            sleep 1
        fi
    done
    trap 'rm -rf lock' EXIT
    echo $$ >lock/pid
}

# A new value at every boot.
boot() {
    sysctl -n kern.bootsessionuuid 2>/dev/null || true
}

launch() {
    launchctl bootout "system/$label" 2>/dev/null || true
    launchctl enable "system/$label"
    tries=0
    until launchctl bootstrap system "/Library/LaunchDaemons/$label.plist"; do # bootout may take a moment
        tries=$((tries + 1))
        if [ $tries -gt 5 ]; then return 1; fi
        sleep 1
    done
}

start() {
    sh "$guard" back # of a run that ended before its confirmation
    [ -d next ] || { echo "there is nothing to change: $home/next is missing" >&2; exit 1; }
    rm -rf next/old
    mkdir next/old
    number=0
    while read -r path; do
        number=$((number + 1))
        if [ -e "$path" ]; then cp -p "$path" "next/old/$number"; fi
    done <next/files
    boot >next/boot
    sync
    mv next pending
    if launch && sh "$guard" change; then exit 0; fi
    sh "$guard" back
    echo "the old files are back; nothing was changed" >&2
    exit 1
}

change() {
    alone
    number=0
    while read -r path; do
        number=$((number + 1))
        (umask 022 && mkdir -p "$(dirname "$path")")
        cp "pending/new/$number" "$path.reconciler"
        chmod 644 "$path.reconciler"
        mv -f "$path.reconciler" "$path"
    done <pending/files
    sh -e pending/check
    sh -e pending/apply
}

watch() {
    waited=0
    while [ -d pending ] && [ $waited -lt $seconds ] && [ "$(cat pending/boot)" = "$(boot)" ]; do
        sleep 1
        waited=$((waited + 1))
    done
    if [ -d pending ] || [ -d returning ]; then sh "$guard" back; fi
}

back() {
    alone
    if [ ! -d returning ] && [ -d pending ]; then mv pending returning; fi
    if [ ! -d returning ]; then return; fi
    number=0
    while read -r path; do
        number=$((number + 1))
        if [ -e "returning/old/$number" ]; then
            cp -p "returning/old/$number" "$path.reconciler"
            mv -f "$path.reconciler" "$path"
        else
            rm -f "$path"
        fi
    done <returning/files
    sh -e returning/back
    sync
    rm -rf returning
    echo "a change that nobody has confirmed was taken back"
}

confirm() {
    alone
    rm -rf kept
    if ! mv pending kept; then
        echo "too late: the old files are back" >&2
        exit 1
    fi
    rm -rf kept
}

case ${1-} in
start | change | watch | back | confirm) "$1" ;;
*)
    echo "usage: guard start|confirm|back" >&2
    exit 2
    ;;
esac
