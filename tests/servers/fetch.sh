#!/bin/sh
# Unpacks real servers for the tests from Debian's packages into .servers/tree. Installs, configures and starts
# nothing; what the machine already has is used from where it is. Runs as any user.
#
#   tests/servers/fetch.sh            fetch what is missing
#   FORCE=1 tests/servers/fetch.sh    fetch again
set -eu

# package, and a program in it that the tests run
needs="postfix:usr/sbin/postfix postfix:usr/sbin/smtp-sink postgresql:usr/lib/postgresql/*/bin/initdb
swaks:usr/bin/swaks prometheus:usr/bin/promtool bogofilter-bdb:usr/bin/bogofilter curl:usr/bin/curl
openssl:usr/bin/openssl systemd:usr/bin/systemd-analyze spamprobe:usr/bin/spamprobe
spamassassin:usr/bin/spamassassin rspamd:usr/bin/rspamd redis-server:usr/bin/redis-server
spampd:usr/sbin/spampd chromium:usr/lib/chromium/chromium"

top=$(cd "$(dirname "$0")/../.." && pwd)
servers="$top/.servers"
stamp="$servers/stamp"

has() { # root pattern
    for found in "$1"/$2; do
        if [ -x "$found" ]; then return 0; fi
    done
    return 1
}

missing() { # the packages whose programs are neither in the given root nor on the machine
    for need in $needs; do
        if ! has "" "${need#*:}" && ! has "$1" "${need#*:}"; then echo "${need%%:*}"; fi
    done | sort -u
}

if [ -n "${FORCE:-}" ]; then rm -rf "$servers"; fi
packages=$(missing "$servers/tree" | tr '\n' ' ')
if [ -z "$packages" ] && [ -f "$stamp" ] && [ "$stamp" -nt "$0" ]; then exit 0; fi
if [ -n "$packages" ] && ! { command -v apt-get && command -v dpkg-deb; } >/dev/null; then
    echo "fetch.sh: needs apt-get and dpkg-deb (Debian or Ubuntu); install yourself: $packages" >&2
    exit 1
fi

mkdir -p "$servers/archives/partial" "$servers/lists/partial" "$servers/tree"
# Private folders and no lock: neither apt's state nor another apt that runs now is touched.
options="-qq -o Debug::NoLocking=1 -o APT::Sandbox::User= -o Dir::Cache::archives=$servers/archives"
options="$options -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o APT::Install-Recommends=false"

download() {
    # shellcheck disable=SC2086  # lists of words on purpose
    apt-get $options $1 --yes --download-only install $packages >"$servers/apt.log" 2>&1
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

packages=$(missing "$servers/tree" | tr '\n' ' ')
if [ -n "$packages" ]; then
    echo "fetch.sh: still missing: $packages" >&2
    exit 1
fi
touch "$stamp"
