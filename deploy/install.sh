#!/bin/sh
# Installs filterd from this tree on a machine with systemd, and upgrades it when run again. As root:
#
#   deploy/install.sh             install, or upgrade to the version of this tree; restarts the daemon if it runs
#   deploy/install.sh --train     the same with what retraining needs (2 GB), and its timer
#   deploy/install.sh rollback    go back to the version before
#   deploy/install.sh remove      remove programs and units; mail, configuration and the user stay
#   DESTDIR=/somewhere deploy/install.sh    put the files there; no user, no service, nothing else touched
#
# Every version is an environment of its own, /opt/filterd/VERSION-TIME, and /opt/filterd/.venv points at the one in use:
# a daemon that runs keeps its own code until it is restarted, and going back is one link. Only the version before is
# kept. Needs Python 3.11 or later with venv, and pip's package index once.
set -eu
umask 022
cd "$(dirname "$0")/.."

prefix=/opt/filterd
etc=/etc/filterd
state=/var/lib/filterd
units=/usr/local/lib/systemd/system
share=/usr/local/share/filterd
# The system's own comes first: one in somebody's home is not for the daemon's user.
python=${PYTHON:-$(PATH="/usr/bin:$PATH" command -v python3 || echo python3)}
root=${DESTDIR:-}

say() { printf 'install: %s\n' "$*" >&2; }
fail() {
    say "$@"
    exit 1
}
systemd_runs() { [ -z "$root" ] && [ -d /run/systemd/system ]; }
in_use() { readlink "$root$prefix/$1" 2>/dev/null || true; }
as_filterd() { (cd / && runuser -u filterd -- "$@"); }

need_root() {
    if [ -z "$root" ] && [ "$(id -u)" != 0 ]; then fail "needs root, or DESTDIR"; fi
}

point() { # link name
    ln -s "$2" "$root$prefix/$1.new"
    mv -T "$root$prefix/$1.new" "$root$prefix/$1"
}

moved() { # environment, from, to: programs and settings of an environment name their own folder
    grep -rlIF "$2" "$1/bin" "$1/pyvenv.cfg" | xargs -r sed -i "s|$2|$3|g"
}

make_environment() { # name, gateway or trainer
    new="$root$prefix/$1"
    lock="requirements/$2.lock"
    if ! "$python" -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        fail "needs Python 3.11 or later with venv (apt-get install python3-venv); PYTHON names another one"
    fi
    old=$(in_use .venv)
    if [ -n "$old" ] && cmp -s "$lock" "$root$prefix/$old/$2.lock"; then
        say "the packages stay as they are"
        cp -a "$root$prefix/$old" "$new"
        moved "$new" "$prefix/$old" "$new"
    else
        say "packages of $lock"
        "$python" -m venv "$new"
        "$new/bin/python" -m pip -qq --disable-pip-version-check install --require-hashes -r "$lock"
        cp "$lock" "$new/"
    fi
    "$new/bin/python" -m pip -qq --disable-pip-version-check install --no-deps --no-build-isolation --force-reinstall .
    if [ -n "$root" ]; then moved "$new" "$new" "$prefix/$1"; fi
}

make_user() {
    if [ -n "$root" ] || getent passwd filterd >/dev/null; then return; fi
    useradd --system --user-group --home-dir "$state" --no-create-home --shell /usr/sbin/nologin filterd
}

install_files() {
    for unit in filterd.service filterd-retrain.service filterd-retrain.timer; do
        install -D -m 644 "deploy/systemd/$unit" "$root$units/$unit"
    done
    # Whoever is root becomes the daemon's user, so that the daemon can read what a command writes.
    mkdir -p "$root/usr/local/bin"
    for program in filterd trainer; do
        cat >"$root/usr/local/bin/$program.new" <<WRAPPER
#!/bin/sh
if [ "\$(id -u)" = 0 ]; then exec runuser -u filterd -- $prefix/.venv/bin/$program "\$@"; fi
exec $prefix/.venv/bin/$program "\$@"
WRAPPER
        chmod 755 "$root/usr/local/bin/$program.new"
        mv "$root/usr/local/bin/$program.new" "$root/usr/local/bin/$program"
    done
    install -d -m 755 "$root$share"
    cp deploy/etc/filterd.toml "$root$share/"
    for each in deploy/*/; do
        case $each in
            deploy/compose/ | deploy/docker/ | deploy/etc/ | deploy/helm/ | deploy/systemd/) ;;
            *) cp -r "$each" "$root$share/" ;;
        esac
    done
    install -d -m 750 "$root$etc"
    install -d -m 700 "$root$state"
    if [ ! -e "$root$etc/filterd.toml" ]; then install -m 640 deploy/etc/first.toml "$root$etc/filterd.toml"; fi
    if [ -z "$root" ]; then
        chown root:filterd "$etc" "$etc/filterd.toml"
        chown filterd:filterd "$state"
    fi
}

restart() { # after the link has moved
    if ! systemd_runs; then
        if [ -z "$root" ]; then say "systemd does not run here: restart $prefix/.venv/bin/filterd serve yourself"; fi
        return
    fi
    systemctl daemon-reload
    systemctl enable --quiet filterd.service
    if [ -e "$prefix/.venv/trainer.lock" ]; then systemctl enable --quiet --now filterd-retrain.timer; fi
    systemctl restart filterd.service
    tries=0
    until /usr/local/bin/filterd ready >/dev/null 2>&1; do
        tries=$((tries + 1))
        if [ "$tries" = 60 ]; then
            /usr/local/bin/filterd ready || true
            fail "not ready after a minute: journalctl -u filterd; to go back: deploy/install.sh rollback"
        fi
        sleep 1
    done
    say "ready"
}

install_version() { # gateway or trainer
    need_root
    what=$1
    version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' filterd/__init__.py)
    name="$version-$(date -u +%Y%m%dT%H%M%S)"
    old=$(in_use .venv)
    if [ -n "$old" ] && [ -e "$root$prefix/$old/trainer.lock" ]; then what=trainer; fi
    mkdir -p "$root$prefix"
    trap 'rm -rf "$root$prefix/$name"' EXIT
    make_environment "$name" "$what"
    make_user
    install_files
    if [ -z "$root" ]; then
        if ! as_filterd "$prefix/$name/bin/python" -c "" 2>/dev/null; then
            fail "the user filterd may not run $("$python" -c "import sys; print(sys.executable)"); PYTHON names another one"
        fi
        # A configuration that the new version cannot use keeps the old one in service.
        as_filterd "$prefix/$name/bin/filterd" config check >/dev/null
    fi
    trap - EXIT
    point .venv "$name"
    if [ -n "$old" ]; then point .previous "$old"; fi
    for each in "$root$prefix"/[0-9]*; do
        case ${each##*/} in "$name" | "$old") ;; *) rm -rf "$each" ;; esac
    done
    say "version $version in $prefix/$name"
    restart
}

rollback() {
    need_root
    old=$(in_use .previous)
    if [ -z "$old" ] || [ ! -x "$root$prefix/$old/bin/python" ]; then fail "there is no version before this one"; fi
    now=$(in_use .venv)
    if [ -z "$root" ]; then
        # at revision 0009, needs 0008
        # shellcheck disable=SC2046  # words on purpose
        set -- $(as_filterd "$prefix/$old/bin/filterd" db current)
        if [ "$#" != 5 ]; then fail "the database cannot be asked what version of filterd it fits"; fi
        if [ "$3" != none, ] && expr "${3%,}" \> "$5" >/dev/null; then
            fail "the tables are newer than ${old%-*} knows: stop the daemon, \`filterd db downgrade $5\`, and again"
        fi
    fi
    point .venv "$old"
    point .previous "$now"
    say "version ${old%-*} in $prefix/$old"
    restart
}

remove() {
    need_root
    if systemd_runs; then systemctl disable --now --quiet filterd.service filterd-retrain.timer || true; fi
    for unit in filterd.service filterd-retrain.service filterd-retrain.timer; do rm -f "$root$units/$unit"; done
    rm -f "$root/usr/local/bin/filterd" "$root/usr/local/bin/trainer"
    rm -rf "$root$prefix" "$root$share"
    if systemd_runs; then systemctl daemon-reload; fi
    say "removed; $etc, $state with mail and labels, and the user filterd stay"
}

case "${1:-}" in
    "") install_version gateway ;;
    --train) install_version trainer ;;
    rollback) rollback ;;
    remove) remove ;;
    *) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" && exit 2 ;;
esac
