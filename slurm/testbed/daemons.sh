# shellcheck shell=bash
# What the testbed's scripts share: where it lives, packages, the ordinary user, one caller at a time, and daemons that
# are known by their pid files.

TESTBED=${HPCHO_TESTBED:-/var/tmp/hpcho-testbed}
TESTBED_USER=hpcho-test # an ordinary account: what tests do, they do as this one
export PATH=$PATH:/usr/sbin:/sbin
umask 022

fail() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

need_root() {
    [ "$(id -u)" = 0 ] || fail "this needs root: try sudo $0 $*"
}

# The packages among command=package pairs whose command is not there.
missing_packages() {
    local pair
    for pair in "$@"; do
        command -v "${pair%%=*}" >/dev/null || echo "${pair#*=}"
    done
}

need_installed() {
    [ -z "$(missing_packages "$@")" ] || fail "not installed yet: call $0 install, as root"
}

install_packages() {
    local missing made='' policy=/usr/sbin/policy-rc.d status=0
    mapfile -t missing < <(missing_packages "$@")
    [ ${#missing[@]} -gt 0 ] || return 0
    command -v apt-get >/dev/null || fail "install these first, as there is no apt-get: ${missing[*]}"
    # The packages' own services would start at once, with the ports and the files of a real cluster.
    if [ ! -e $policy ]; then
        printf '#!/bin/sh\nexit 101\n' >$policy
        chmod 755 $policy
        made=1
    fi
    export DEBIAN_FRONTEND=noninteractive
    local options=(-y -qq --no-install-recommends -o DPkg::Lock::Timeout=300)
    { apt-get update -qq && apt-get install "${options[@]}" "${missing[@]}"; } </dev/null >&2 9>&- || status=$?
    [ -z "$made" ] || rm -f $policy
    [ "$status" = 0 ] || fail "apt-get could not install: ${missing[*]}"
}

# The ordinary user, and the folder in which everybody may make folders.
need_user() {
    install -d -m 755 "$TESTBED"
    install -d -m 1777 "$TESTBED/work"
    # A password field of "*" lets sshd in with a key; useradd's own "!" would lock the account.
    id "$TESTBED_USER" >/dev/null 2>&1 || useradd -M -d "$TESTBED/home" -s /bin/bash -p '*' "$TESTBED_USER"
    [ -d "$TESTBED/home" ] || install -d -m 700 -o "$TESTBED_USER" -g "$TESTBED_USER" "$TESTBED/home"
}

# Goes on when no other call of a testbed script is at work, and holds the others back until this one ends. Daemons must
# not inherit the lock: they are started with 9>&-.
one_at_a_time() {
    install -d -m 755 "$TESTBED"
    exec 9>"$TESTBED/lock"
    flock -w 300 9 || fail "another call has been at work for five minutes: see who holds $TESTBED/lock"
}

# The pid of a daemon: its pid file may outlive it, and another process may have got the number.
pid_of() { # PID_FILE NAME: the name as in /proc/PID/comm
    local pid
    pid=$(cat "$1" 2>/dev/null) && [ -n "$pid" ] && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$2" ] &&
        cat "/proc/$pid/cmdline" "/proc/$pid/environ" 2>/dev/null | grep -qaF "$TESTBED/" && echo "$pid"
}

wait_for() { # SECONDS COMMAND...: the logs, if it waits in vain, are the script's $LOGS
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        if [ $SECONDS -ge $end ]; then
            find "$LOGS" -type f -exec tail -v -n 5 {} + >&2
            fail "waited in vain for: $*; the logs above are in $LOGS"
        fi
        sleep 0.1
    done
}

end_daemon() { # PID_FILE NAME
    local pid
    pid=$(pid_of "$1" "$2") || return 0
    kill "$pid"
    for _ in $(seq 150); do
        grep -q . "/proc/$pid/cmdline" 2>/dev/null || return 0 # a process that only waits to be reaped has none
        sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null || true
}

# The comment at the top of the script, for a caller who needs it.
explain() {
    sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" >&2
    exit 2
}
