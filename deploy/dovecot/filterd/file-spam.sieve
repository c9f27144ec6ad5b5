# Run when a message is delivered, before the scripts of its recipient: what filterd tagged goes into Junk.
require ["fileinto", "mailbox"];

if header :is "X-Spam-Flag" "YES" {
  fileinto :create "Junk";
  stop;
}
