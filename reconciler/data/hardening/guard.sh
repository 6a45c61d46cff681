#!/bin/sh
# Changes files of this machine so that they return by themselves unless somebody confirms the change in time.
#
#   guard start     puts the files of `next` in their places; starts the timer before
#   guard confirm   keeps them
#   guard back      puts the old files back: by the timer, at boot, or by hand
#
# `next` and `pending` have: `files` (a path in each line), `new/N` for line N, and the shell scripts `check`, `apply` and
# `back`. A change is pending from the moment in which the folder has that name. Written by `reconciler bootstrap`.
set -eu
umask 077
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
home=/var/lib/reconciler-harden
guard=$home/guard
cd "$home"

# One after the other, so that the timer does not put files back while they are still being written.
alone() {
    exec 9>lock
    flock 9
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
    systemctl daemon-reload
    # At boot the service looks, too: a power cut leaves no timer.
    systemctl -q enable reconciler-return.service
    sync
    mv -T next pending
    if systemctl restart reconciler-return.timer && sh "$guard" change; then exit 0; fi
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
        mv "$path.reconciler" "$path"
    done <pending/files
    sh -e pending/check
    sh -e pending/apply 9>&-
}

back() {
    alone
    if [ -d pending ]; then mv -T pending returning; fi
    if [ ! -d returning ]; then return; fi
    number=0
    while read -r path; do
        number=$((number + 1))
        if [ -e "returning/old/$number" ]; then
            cp -p "returning/old/$number" "$path.reconciler"
            mv "$path.reconciler" "$path"
        else
            rm -f "$path"
        fi
    done <returning/files
    sh -e returning/back 9>&-
    sync
    rm -rf returning
    systemctl stop reconciler-return.timer
    echo "a change that nobody has confirmed was taken back"
}

confirm() {
    alone
    rm -rf kept
    if ! mv -T pending kept; then
        echo "too late: the old files are back" >&2
        exit 1
    fi
    systemctl stop reconciler-return.timer
    rm -rf kept
}

case ${1-} in
start | change | back | confirm) "$1" ;;
*)
    echo "usage: guard start|confirm|back" >&2
    exit 2
    ;;
esac
