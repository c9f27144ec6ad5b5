#!/bin/sh
# Puts deploy/postfix/before-queue into a Postfix that has a network instead of a machine in common with filterd.
#   configure.sh FOLDER     of main.cf and master.cf; MAIL_CONFIG names another configuration than /etc/postfix
set -eu
snippets=$1
etc=${MAIL_CONFIG:-/etc/postfix}
network=172.30.25.0/24

# The public smtpd trusts nobody but this machine: what comes through a published port may have an address of Docker's.
# The way back is in the network "mail", where nobody but filterd is; its port is not published.
sed -i '/^smtp  *inet /d' "$etc/master.cf"
sed -e 's/127\.0\.0\.1:10025/filterd:10025/' \
    -e 's/^127\.0\.0\.1:10026 /10026 /' \
    -e "s|=127\.0\.0\.0/8|=$network|" "$snippets/master.cf" >>"$etc/master.cf"
cat "$snippets/main.cf" >>"$etc/main.cf"
postconf -e \
    "maillog_file = /dev/stdout" \
    "inet_interfaces = all" \
    "inet_protocols = ipv4" \
    "mynetworks = 127.0.0.0/8" \
    "mydestination =" \
    "smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination" \
    "virtual_mailbox_domains = example.net" \
    "virtual_mailbox_maps = static:all/" \
    "virtual_mailbox_base = /var/mail/inbox" \
    "virtual_uid_maps = static:65534" \
    "virtual_gid_maps = static:65534"
