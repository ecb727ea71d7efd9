# Perl's Net::FTP over TLS: what tests/integration/test_ftps_clients.py asks of every client.
use strict;
use warnings;
use Net::FTP;
use IO::Socket::SSL;

# Net::FTP's data connections look for a session under a name of their own and find none;
# this cache has but one name.
package OneSession {
    our @ISA = ("IO::Socket::SSL::Session_Cache");
    sub add_session { my ($self, $key, $session) = @_; $self->SUPER::add_session("it", $session) }
    sub get_session { my ($self, $key, $session) = @_; $self->SUPER::get_session("it", $session) }
}

my ($port, $ca, $folder, $source, $count, $version) = @ARGV;
my $half = int((-s $source) / 2);

sub must {
    my ($ftp, $done, $what) = @_;
    die "$what: " . $ftp->code . " " . $ftp->message . "\n" unless $done;
}

my $ftp = Net::FTP->new(
    "localhost", Port => $port, Passive => 1, Timeout => 20,
    SSL_session_cache => OneSession->new(1), SSL_ca_file => $ca, SSL_version => $version eq "1.3" ? "TLSv1_3" : "TLSv1_2",
) or die "connect: $@\n";
must($ftp, $ftp->starttls, "starttls");
must($ftp, $ftp->login("ada", "lovelace"), "login");
must($ftp, $ftp->binary, "binary");
must($ftp, $ftp->cwd($folder), "cwd");
for my $number (1 .. $count) {
    must($ftp, $ftp->put($source, "up-$number"), "put $number");
}
my @names = $ftp->ls;
print "listed ", scalar(@names), "\n";
must($ftp, $ftp->get("up-1", "down"), "get");
must($ftp, $ftp->get("up-1", "part", $half), "get from the middle");
open(my $rest, "<", $source) or die;
binmode $rest;
seek($rest, $half, 0);
must($ftp, $ftp->append($rest, "half"), "append");
must($ftp, $ftp->rename("up-1", "renamed"), "rename");
must($ftp, $ftp->quit, "quit");
