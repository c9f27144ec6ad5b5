# SpamAssassin in one process, driven by lines: "ham FILE" and "spam FILE" learn, "score FILE" answers the score.
# Arguments: folder of the rules, folder of the site's settings, private home. No network is used (local_tests_only).
use strict;
use warnings;
use Mail::SpamAssassin;

my ($rules, $site, $home) = @ARGV;
$| = 1;

my $filter = Mail::SpamAssassin->new({
    rules_filename => $rules,
    site_rules_filename => $site,
    userprefs_filename => "$home/user_prefs",
    userstate_dir => $home,
    home_dir_for_helpers => $home,
    dont_copy_prefs => 1,
    local_tests_only => 1,
    require_rules => 1,
});
$filter->init(1);
print "ready ", Mail::SpamAssassin::Version(), "\n";

my $learning = 0;
while (my $line = <STDIN>) {
    chomp $line;
    my ($command, $path) = split / /, $line, 2;
    open my $handle, '<:raw', $path or die "$path: $!";
    my $raw = do { local $/; <$handle> };
    close $handle;
    my $mail = $filter->parse(\$raw, 0);
    if ($command eq 'score') {
        if ($learning) { $filter->finish_learner(); $learning = 0; }
        my $status = $filter->check($mail);
        printf "%.3f\n", $status->get_score();
        $status->finish();
    } else {
        if (!$learning) { $filter->init_learner({ caller_will_untie => 1, wait_for_lock => 1 }); $learning = 1; }
        my $status = $filter->learn($mail, undef, $command eq 'spam' ? 1 : 0, 0);
        $status->finish();
        print "learned\n";
    }
    $mail->finish();
}
$filter->finish_learner() if $learning;
$filter->finish();
