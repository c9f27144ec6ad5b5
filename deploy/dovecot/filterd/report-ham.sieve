# Run when a message is moved or copied out of Junk.
require ["vnd.dovecot.pipe", "copy", "imapsieve", "environment", "variables"];

# Throwing spam away does not make it ham. Put the names that your clients use here.
if environment :is "imap.mailbox" ["Trash", "Deleted", "Deleted Items", "Deleted Messages", "Junk"] {
  stop;
}

if environment :matches "imap.user" "*" {
  set "user" "${1}";
}

pipe :copy "filterd-spool" ["ham", "${user}"];
