#!/bin/sh
# Makes this machine able to run the reconciler: Python environment, container engine, Compose, base image.
#
#   scripts/setup.sh            what scripts/demo needs
#   scripts/setup.sh --tests    what scripts/test needs: also the checkers and a second Compose version
#
# scripts/demo and scripts/test read this file as a library and call the set_up_* functions. Everything here looks
# first and acts only on what is missing, so it may be interrupted at any moment and run again.
# Nothing is written outside the repository except packages of the system (each one is named before).

set -eu
umask 022  # what is made here is run and read by an agent, and refused where others could change it

PATH="${PATH:+$PATH:}/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/homebrew/bin"
export PATH
# Where a machine forbids it, each start of the program would compile all its modules again (0.3 s).
unset PYTHONDONTWRITEBYTECODE
# Where the two scripts run without a home (a CI job), a folder of the repository is the home.
: "${root:=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)}"
build=$root/.build
log=$build/log
mkdir -p "$log"
if [ -z "${HOME:-}" ]; then
    HOME=$build/home
    mkdir -p "$HOME"
    export HOME
fi

python_least='3.11'
engine_least='25'
compose_least='2.20'
# Debian's release with a new enough engine, for the release before it (see install_engine_from_next_debian).
next_debian='trixie'
base_image='debian:trixie-slim'

# ---------------------------------------------------------------------------------------------------- to a person

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ] && [ "${TERM:-dumb}" != dumb ]; then
    bold=$(printf '\033[1m') dim=$(printf '\033[2m') red=$(printf '\033[31m') green=$(printf '\033[32m') plain=$(printf '\033[0m')
else
    bold='' dim='' red='' green='' plain=''
fi

say() { printf '%s\n' "$*"; }
step() { printf '%s==>%s %s\n' "$bold" "$plain" "$*"; }
note() { printf '    %s%s%s\n' "$dim" "$*" "$plain"; }
warn() { printf '%s    note:%s %s\n' "$bold" "$plain" "$*" >&2; }
die() {
    printf '%sstopped:%s %s\n' "$red" "$plain" "$1" >&2
    shift
    for line in "$@"; do printf '         %s\n' "$line" >&2; done
    exit 1
}

# quietly NAME COMMAND…: output goes to a log; its end is shown only on failure.
quietly() {
    quietly_log=$log/$1.log
    shift
    if "$@" >"$quietly_log" 2>&1 </dev/null; then return 0; fi
    printf '    the last lines of %s:\n' "$quietly_log" >&2
    tail -n 15 "$quietly_log" | sed 's/^/    | /' >&2
    return 1
}

# ------------------------------------------------------------------------------------------------------ the machine

has() { command -v "$1" >/dev/null 2>&1; }
is_mac() { [ "$(uname -s)" = Darwin ]; }
has_apt() { has apt-get && has dpkg; }
has_systemd() { [ -d /run/systemd/system ]; }

# at_most SECONDS COMMAND…: macOS has no timeout(1); there the command runs without a limit.
at_most() {
    if has timeout; then
        timeout -k 5 "$@"
    else
        shift
        "$@"
    fi
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif has sudo; then
        sudo "$@"
    else
        die "this step needs root: $*" "Run the script as root, or install sudo."
    fi
}

# at_least VERSION LEAST: compares dotted numbers ("2.26.1-4" is at least "2.20").
at_least() {
    [ -n "$1" ] || return 1
    printf '%s %s\n' "$1" "$2" | awk '{
        sub(/^v/, "", $1); sub(/^[0-9]+:/, "", $1)
        n = split($1, a, /[^0-9]+/); m = split($2, b, /[^0-9]+/)
        for (i = 1; i <= m; i++) { if (a[i] + 0 > b[i] + 0) exit 0; if (a[i] + 0 < b[i] + 0) exit 1 }
        exit 0 }'
}

# One set-up at a time: a second one waits. The lock ends with the process, whatever ends it.
only_one() {
    has flock || return 0
    exec 9>"$build/setup.lock"
    flock -n 9 && return 0
    note "another set-up is running here; waiting for it"
    flock 9
}
only_one_done() { if has flock; then exec 9>&-; fi; }

apt_is_ready=''
ready_apt() {
    [ -z "$apt_is_ready" ] || return 0
    note "reading the package lists (seconds)"
    # A run that was interrupted may have left packages half configured.
    if [ -n "$(dpkg --audit 2>/dev/null)" ]; then
        quietly dpkg-repair as_root env DEBIAN_FRONTEND=noninteractive dpkg --force-confold --configure -a || true
    fi
    quietly apt-update as_root apt-get -o DPkg::Lock::Timeout=300 update ||
        warn "some package lists could not be read; going on with what is there"
    apt_is_ready=yes
}

apt_install() {
    ready_apt
    quietly apt-install as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold install -y --no-install-recommends "$@"
}

apt_candidate() { LC_ALL=C apt-cache policy "$1" 2>/dev/null | awk '$1 == "Candidate:" && $2 != "(none)" { print $2 }'; }

# apt_repositories: "URI RELEASE" of every repository with a "main" that this machine already uses.
apt_repositories() {
    # shellcheck disable=SC2016 # the names are apt's, not the shell's
    apt-get indextargets --format '$(COMPONENT) $(REPO_URI) $(RELEASE)' 'Created-By: Packages' |
        awk '$1 == "main" { print $2, $3 }' | sort -u
}

# debian_sources SUITE…: the machine's own Debian mirrors, for other suites. "trixie-security" takes the place of
# "bookworm-security" on its mirror, everything else that of the plain release. Prints nothing on other systems.
debian_sources() {
    (
        # shellcheck disable=SC1091
        . /etc/os-release
        [ "${ID:-}" = debian ] || exit 0
        keyring=/usr/share/keyrings/debian-archive-keyring.gpg
        [ -e "$keyring" ] || keyring=''
        for suite in "$@"; do
            case $suite in *-security) ours=$VERSION_CODENAME-security ;; *) ours=$VERSION_CODENAME ;; esac
            apt_repositories | awk -v ours="$ours" -v suite="$suite" -v keyring="$keyring" '
                $2 == ours && !seen++ {
                    print "Types: deb\nURIs: " $1 "\nSuites: " suite "\nComponents: main"
                    print (keyring == "" ? "" : "Signed-By: " keyring "\n") }'
        done
    )
}

# ------------------------------------------------------------------------------------------------------------- tools

# set_up_tool COMMAND PACKAGE WHY
set_up_tool() {
    has "$1" && return 0
    step "Installing $2 ($3)"
    if has_apt; then
        apt_install "$2" || die "$2 could not be installed" "Install it by hand and run this again."
    elif is_mac && has brew; then
        quietly brew brew install "$2" || die "$2 could not be installed" "Install it by hand and run this again."
    else
        die "$1 is missing ($3)" "Install it and run this again."
    fi
}

# ------------------------------------------------------------------------------------------------------------ Python

python_is_good() {
    "$1" -c "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))" >/dev/null 2>&1
}

find_python() {
    for name in python3 python3.14 python3.13 python3.12 python3.11; do
        # The virtual environment of a caller is no base for ours.
        if has "$name" && python_is_good "$name"; then
            command -v "$name"
            return 0
        fi
    done
    return 1
}

install_python() {
    step "Installing Python (at least $python_least, with venv): the reconciler is written in it. Under a minute."
    if has_apt; then
        apt_install python3 python3-venv || true
        find_python >/dev/null && return 0
        for name in python3.14 python3.13 python3.12 python3.11; do
            [ -n "$(apt_candidate "$name-venv")" ] || continue
            apt_install "$name" "$name-venv" && return 0
        done
    elif is_mac && has brew; then
        quietly brew brew install python@3.13 && return 0
    fi
    die "no Python $python_least or newer with the venv module is to be had here" \
        "Install one (python3 and python3-venv, or from your system's vendor) and run this again."
}

# A proxy with its own certificate authority is known to the system's bundle, and not to pip's own.
let_pip_trust_the_system() {
    [ -z "${PIP_CERT:-}${REQUESTS_CA_BUNDLE:-}${CURL_CA_BUNDLE:-}" ] || return 0
    is_mac && return 0
    for bundle in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt; do
        if [ -s "$bundle" ]; then
            PIP_CERT=$bundle
            export PIP_CERT
            return 0
        fi
    done
}

# set_up_python [EXTRA]: .build/venv with this package in editable form; EXTRA is "test" or nothing.
set_up_python() {
    extra=${1:-run}
    venv=$build/venv
    want="$root $(cksum <"$root/pyproject.toml")"
    for done_stamp in "$venv/.ready-$extra" "$venv/.ready-test"; do
        if [ -x "$venv/bin/python" ] && [ "$(cat "$done_stamp" 2>/dev/null)" = "$want" ] &&
            python_is_good "$venv/bin/python"; then
            return 0
        fi
    done
    python=$(find_python) || { install_python && python=$(find_python); } ||
        die "Python was installed, but no python3 of at least $python_least answers" "Is another python3 first in PATH?"
    step "Making the Python environment .build/venv (about half a minute; the packages come from the Python index)"
    # An environment that was never finished, or was made elsewhere, is made anew.
    if ! { [ -x "$venv/bin/python" ] && [ "$(cat "$venv/.made-for" 2>/dev/null)" = "$root" ] &&
        python_is_good "$venv/bin/python"; }; then
        rm -rf "$venv"
        quietly venv "$python" -m venv "$venv" || die "the virtual environment could not be made with $python"
        printf '%s\n' "$root" >"$venv/.made-for"
    fi
    let_pip_trust_the_system
    wanted=$root
    [ "$extra" = run ] || wanted="${root}[$extra]"
    quietly pip "$venv/bin/python" -m pip install --disable-pip-version-check --no-input -e "$wanted" ||
        die "pip could not install the reconciler" \
            "Is the Python package index reachable from here? Proxies and certificates: see 'pip config list'."
    printf '%s\n' "$want" >"$venv/.ready-$extra"
}

# ------------------------------------------------------------------------------------------------------------ engine

engine_answers() { has docker && at_most 15 docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }
engine_version() { at_most 15 docker version --format '{{.Server.Version}}' 2>/dev/null || true; }
compose_version() { at_most 15 docker compose version --short 2>/dev/null || true; }

use_colima_socket() {
    [ -z "${DOCKER_HOST:-}" ] || return 1
    for socket in "$HOME/.colima/default/docker.sock" "$HOME/.config/colima/default/docker.sock"; do
        if [ -S "$socket" ]; then
            DOCKER_HOST=unix://$socket
            export DOCKER_HOST
            engine_answers && return 0
            unset DOCKER_HOST
        fi
    done
    return 1
}

wait_for_engine() {
    waited=0
    while [ "$waited" -lt "$1" ]; do
        engine_answers && return 0
        # Started, but not for us: the caller says what to do.
        as_root_quietly docker version && return 0
        sleep 1
        waited=$((waited + 1))
    done
    return 1
}

as_root_quietly() {
    if [ "$(id -u)" -eq 0 ]; then return 1; fi
    has sudo && sudo -n "$@" >/dev/null 2>&1
}

start_engine() {
    if has_systemd; then
        step "Starting the container engine (systemctl start docker)"
        as_root systemctl start docker || die "systemd could not start the engine" "See: journalctl -u docker -n 50"
    else
        step "Starting the container engine (dockerd, in the background; its log: /var/log/dockerd.log)"
        # In its own session, so that a Ctrl-C here does not end it; without our lock (9), which it would keep.
        # shellcheck disable=SC2016
        as_root sh -c 'setsid nohup dockerd >>/var/log/dockerd.log 2>&1 </dev/null 9>&- &'
    fi
    wait_for_engine 60 && return 0
    [ -r /var/log/dockerd.log ] && tail -n 10 /var/log/dockerd.log | sed 's/^/    | /' >&2
    die "the engine did not answer within a minute" "The lines above are the end of its log."
}

# The release before next_debian carries an engine that is too old. Debian's own next release is added as a second
# source, pinned so low that nothing is taken from it but what is asked for by name (and its later security fixes).
# runc stays that of the release in use: the newer one needs a newer C library.
install_engine_from_next_debian() {
    sources=$(debian_sources "$next_debian" "$next_debian-security")
    [ -n "$sources" ] || return 1
    note "this release's engine or Compose is too old, so these packages come from Debian $next_debian;"
    note "added: /etc/apt/sources.list.d/reconciler-$next_debian.sources and its low pin in /etc/apt/preferences.d"
    # The pin first: interrupted in between, nothing could be upgraded by accident.
    printf 'Package: *\nPin: release n=%s*\nPin-Priority: 100\n' "$next_debian" |
        as_root tee "/etc/apt/preferences.d/reconciler-$next_debian" >/dev/null
    printf '%s\n' "$sources" | as_root tee "/etc/apt/sources.list.d/reconciler-$next_debian.sources" >/dev/null
    apt_is_ready=''
    ready_apt
    for package in "$@"; do
        set -- "$@" "$package/$next_debian"
        shift
    done
    apt_install "$@"
}

# First package of the arguments whose candidate is at least the first argument.
first_candidate() {
    least=$1
    shift
    for package in "$@"; do
        if at_least "$(apt_candidate "$package")" "$least"; then
            printf '%s\n' "$package"
            return 0
        fi
    done
    return 1
}

# install_from_apt engine|compose
install_from_apt() {
    ready_apt
    compose_package=$(first_candidate "$compose_least" docker-compose-v2 docker-compose || true)
    buildx_package=$(first_candidate 0.10 docker-buildx || true)
    if [ "$1" = engine ]; then
        if [ -n "$(first_candidate "$engine_least" docker.io || true)" ] && [ -n "$compose_package" ]; then
            cli_package=$(first_candidate "$engine_least" docker-cli || true)
            # shellcheck disable=SC2086 # empty names are meant to vanish
            apt_install docker.io $cli_package "$compose_package" $buildx_package iptables
        else
            install_engine_from_next_debian docker.io docker-cli containerd docker-compose docker-buildx &&
                apt_install iptables
        fi
    elif [ -n "$compose_package" ]; then
        # shellcheck disable=SC2086
        apt_install "$compose_package" $buildx_package
    else
        install_engine_from_next_debian docker-compose docker-buildx
    fi
}

install_on_mac() {
    has brew || die "no container engine answers, and Homebrew is missing" \
        "Install Homebrew, or start an engine yourself (Colima, Docker Desktop, …), and run this again."
    for formula in colima docker docker-compose; do
        brew list --formula "$formula" >/dev/null 2>&1 || quietly brew brew install "$formula" ||
            die "Homebrew could not install $formula"
    done
    # Homebrew keeps the plugin where the client does not look by itself.
    mkdir -p "$HOME/.docker/cli-plugins"
    [ -e "$HOME/.docker/cli-plugins/docker-compose" ] ||
        ln -sfn "$(brew --prefix)/opt/docker-compose/bin/docker-compose" "$HOME/.docker/cli-plugins/docker-compose"
}

# Engine is there, but this user may not talk to it. Membership in "docker" is as good as root, so it is given only
# with an engine that this script has installed itself; it counts in this process at once by way of sg(1).
gain_access_to_engine() {
    engine_answers && return 0
    as_root_quietly docker version || return 1
    user=$(id -un)
    if ! id -nG "$user" | tr ' ' '\n' | grep -qx docker; then
        [ -e "$build/engine-is-ours" ] || die "an engine is running, but $user may not use it" \
            "Allow it (this is as powerful as root): sudo usermod -aG docker $user" "then log in anew and run this again."
        step "Allowing $user to use the engine (member of the group docker, which is as powerful as root)"
        as_root usermod -aG docker "$user"
    fi
    [ -z "${RECONCILER_SETUP_AGAIN:-}" ] || die "still no access to the engine" "Log in anew and run this again."
    RECONCILER_SETUP_AGAIN=1
    export RECONCILER_SETUP_AGAIN
    only_one_done
    exec sg docker -c "exec '$root/scripts/${0##*/}' ${restart_arguments:-}"
}

set_up_engine() {
    if ! engine_answers && ! use_colima_socket; then
        if [ -n "${DOCKER_HOST:-}" ]; then
            die "DOCKER_HOST is $DOCKER_HOST, and no engine answers there" \
                "Start that engine, or unset DOCKER_HOST to use one on this machine."
        fi
        if is_mac; then
            if ! has colima || ! has docker; then
                step "Installing a container engine: Colima, with the docker client and Compose, by Homebrew (minutes)"
                install_on_mac
            fi
            step "Starting the engine's virtual machine (colima start; the first time takes minutes)"
            quietly colima colima start || die "colima could not start"
            engine_answers || use_colima_socket || die "Colima runs, but its engine does not answer" "See: colima status"
        elif has dockerd || { has_systemd && systemctl cat docker >/dev/null 2>&1; }; then
            set_up_tool docker docker-cli "the client of the engine"
            gain_access_to_engine || start_engine
        elif has_apt; then
            step "Installing a container engine and Compose: the reconciler drives them (about a minute)"
            install_from_apt engine || die "no engine could be installed from this system's packages" \
                "Install Docker Engine $engine_least or newer with Compose $compose_least or newer, and run this again."
            touch "$build/engine-is-ours"
            engine_answers || start_engine
        else
            die "no container engine answers, and this system is neither macOS nor one with apt" \
                "Install Docker Engine $engine_least or newer with Compose $compose_least or newer, start it, run this again."
        fi
        gain_access_to_engine || die "the engine does not answer" "See: docker version"
    fi
    at_least "$(engine_version)" "$engine_least" ||
        warn "this engine ($(engine_version)) is older than $engine_least, the oldest the reconciler is tested with"
    if ! at_least "$(compose_version)" "$compose_least"; then
        step "Installing Compose (at least $compose_least; found: $(compose_version | grep . || echo none))"
        if is_mac; then
            install_on_mac
        elif has_apt; then
            install_from_apt compose || true
        fi
        at_least "$(compose_version)" "$compose_least" || die "Compose $compose_least or newer is needed as a plugin" \
            "'docker compose version' says: $(compose_version | grep . || echo nothing)"
    fi
}

# -------------------------------------------------------------------------------------- Compose versions under test

compose_plugin() {
    docker info --format '{{range .ClientInfo.Plugins}}{{if eq .Name "compose"}}{{.Path}}{{end}}{{end}}' 2>/dev/null || true
}

# keep_compose BINARY: linked as .build/compose/<major.minor>/docker-compose
keep_compose() {
    version=$("$1" version --short 2>/dev/null | sed 's/^v//' | cut -d. -f1,2)
    [ -n "$version" ] || return 1
    mkdir -p "$build/compose/$version"
    ln -sfn "$1" "$build/compose/$version/docker-compose"
}

# Fetches the package of another Debian release and unpacks it here; the system's own package lists stay as they are.
fetch_compose() {
    release=$1
    place=$build/compose/debian-$release
    if ! [ -x "$place/usr/libexec/docker/cli-plugins/docker-compose" ]; then
        work=$build/apt-$release
        rm -rf "$work"
        mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/sources"
        debian_sources "$release" >"$work/sources/debian.sources"
        [ -s "$work/sources/debian.sources" ] || return 1
        set -- -o Dir::State::lists="$work/lists" -o Dir::Cache="$work/cache" -o Dir::Etc::sourcelist=/dev/null \
            -o Dir::Etc::sourceparts="$work/sources" -o Dir::Etc::preferencesparts=/dev/null \
            -o APT::Sandbox::User="$(id -un)" -o Acquire::Languages=none
        quietly "compose-$release-lists" apt-get "$@" update || return 1
        # "download" writes to the current folder.
        (cd "$work" && quietly "compose-$release" apt-get "$@" download docker-compose) || return 1
        dpkg -x "$work"/docker-compose_*.deb "$work/unpacked" || return 1
        rm -rf "$place"
        mv "$work/unpacked" "$place" || return 1
        rm -rf "$work"
    fi
    keep_compose "$place/usr/libexec/docker/cli-plugins/docker-compose"
}

# set_up_compose_versions: exports RECONCILER_TEST_COMPOSE, the binaries that the tests run with, oldest first.
set_up_compose_versions() {
    plugin=$(compose_plugin)
    if [ -n "$plugin" ]; then keep_compose "$plugin" || true; fi
    for pair in "2.26 $next_debian" "2.40 sid"; do
        wanted=${pair% *}
        [ ! -x "$build/compose/$wanted/docker-compose" ] || continue
        if has_apt && ! [ -e "$build/compose/.moved-on-$wanted" ]; then
            step "Fetching a second Compose version for the tests ($wanted, from Debian ${pair#* }; 15 s)"
            if fetch_compose "${pair#* }"; then
                # A release moves on to newer versions, which serve as well: no need to ask at every run.
                [ -x "$build/compose/$wanted/docker-compose" ] || touch "$build/compose/.moved-on-$wanted"
            else
                warn "no Compose $wanted to be had here; the tests run without it"
            fi
        fi
    done
    RECONCILER_TEST_COMPOSE=$(
        for found in "$build"/compose/[0-9]*/docker-compose; do
            [ -x "$found" ] && printf '%s\n' "$found"
        done | sort -V | paste -s -d : -
    )
    export RECONCILER_TEST_COMPOSE
}

# -------------------------------------------------------------------------------------------------------- base image

base_image_is_here() { docker image inspect "$base_image" >/dev/null 2>&1; }

# The settings of the host's apt that its mirror needs, for apt inside the image.
apt_settings_for_image() {
    apt-config dump | grep -E '^Acquire::(Check-|https?::Proxy)' | grep -vE '127\.0\.0\.1|localhost' || true
}

# A base image from Debian's packages, for machines that reach a Debian mirror and no image registry.
make_base_image() {
    has_apt || return 1
    set_up_tool mmdebstrap mmdebstrap "makes a Debian base image from packages"
    bundle=/etc/ssl/certs/ca-certificates.crt
    work=$build/base-image
    rm -rf "$work"
    mkdir -p "$work/add/etc/apt/apt.conf.d" "$work/add/usr/local/share/ca-certificates"
    debian_sources "$next_debian" "$next_debian-updates" "$next_debian-security" >"$work/debian.sources"
    apt_settings_for_image >"$work/add/etc/apt/apt.conf.d/50host"
    # A private certificate authority of the host (a proxy's, say) must be known inside builds too.
    own_authority=''
    for certificate in /usr/local/share/ca-certificates/*.crt; do
        [ -e "$certificate" ] || continue
        own_authority=yes
        cp "$certificate" "$work/add/usr/local/share/ca-certificates/"
    done
    # "minbase" is what the image of this name from a registry has too.
    set -- --variant=minbase --include=ca-certificates --quiet \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright'
    while read -r setting; do set -- "$@" --aptopt="$setting"; done <"$work/add/etc/apt/apt.conf.d/50host"
    # shellcheck disable=SC2016 # $1 is the hook's
    set -- "$@" --customize-hook="copy-in '$work/add/etc' '$work/add/usr' /" \
        --customize-hook='chroot "$1" update-ca-certificates' \
        "$next_debian" "$work/image.tar"
    if [ -s "$work/debian.sources" ]; then set -- "$@" "$work/debian.sources"; fi
    quietly base-image as_root mmdebstrap "$@" || return 1
    set -- --change 'CMD ["bash"]' --change 'LABEL dev.reconciler.base=made-from-packages'
    if [ -n "$own_authority" ]; then
        set -- "$@" --change "ENV PIP_CERT=$bundle NODE_EXTRA_CA_CERTS=$bundle SSL_CERT_FILE=$bundle"
    fi
    quietly base-image-import docker import "$@" "$work/image.tar" "$base_image" || return 1
    as_root rm -rf "$work"
}

set_up_base_image() {
    base_image_is_here && return 0
    step "Getting the base image $base_image (the example's images are built on it; up to a minute)"
    quietly pull at_most 45 docker pull --quiet "$base_image" 2>/dev/null && return 0
    if has_apt; then
        note "no image registry answers quickly; making it from Debian's packages instead (about 25 s)"
        make_base_image && return 0
    fi
    note "trying the registry once more, without a time limit"
    quietly pull docker pull "$base_image" || die "the base image $base_image is not to be had" \
        "Neither an image registry nor a Debian mirror answers from here."
}

# ------------------------------------------------------------------------------------------------------------- all

# set_up run|tests
set_up() {
    only_one
    set_up_tool git git "desired state is read from git"
    if [ "$1" = tests ]; then set_up_python test; else set_up_python; fi
    set_up_engine
    set_up_base_image
    if [ "$1" = tests ]; then
        set_up_tool ssh-keygen openssh-client "the tests sign commits with it"
        set_up_tool gpg gnupg "the tests sign commits with it"
        # openssh-server starts a server, so a developer decides alone. Without these, some tests are skipped.
        if [ "${CI:-}" = true ] && has_apt; then
            set_up_tool sshd openssh-server "the tests push over it"
            set_up_tool nft nftables "the tests check firewall rules with it"
        fi
        set_up_compose_versions
    fi
    only_one_done
}

case ${0##*/} in
    setup.sh)
        case ${1:-} in
            '') set_up run ;;
            --tests) restart_arguments=--tests && set_up tests ;;
            *) die "usage: scripts/setup.sh [--tests]" ;;
        esac
        say "${green}ready${plain}: $("$build/venv/bin/python" --version), engine $(engine_version), Compose $(compose_version)"
        ;;
esac
