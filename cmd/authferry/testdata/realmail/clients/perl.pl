# perl.pl imap|simple|pop3 OUT (imap: Mail::IMAPClient, simple: Net::IMAP::Simple), perl.pl send FROM TO FILE...
use strict;
use warnings;
use IO::Socket::SSL;
use Mail::IMAPClient;
use Net::IMAP::Simple;
use Net::POP3;
use Net::SMTP;

my ($host, $port, $security) = @ENV{qw(HOST PORT SECURITY)};
my ($user, $password)        = @ENV{qw(MAILUSER MAILPASS)};
my %tls = (SSL_ca_file => $ENV{CA}, SSL_verify_mode => SSL_VERIFY_PEER, SSL_verifycn_name => $host);
my %do  = (imap => \&imap, simple => \&simple, pop3 => \&pop3, send => \&submit);
my $verb = shift;
$do{$verb}->(@ARGV);

sub imap {
    my $out = shift;
    my $m   = Mail::IMAPClient->new(
        Server => $host, Port => $port, User => $user, Password => $password, Peek => 1, Uid => 1,
        $security eq 'tls'      ? (Ssl      => [%tls]) : (),
        $security eq 'starttls' ? (Starttls => [%tls]) : (),
    ) or die "imap: $@\n";
    $m->examine('INBOX') or die $m->LastError;
    for my $uid ($m->messages) {
        $m->message_to_file("$out/$uid", $uid) or die $m->LastError;
    }
    $m->logout;
}

sub simple {
    my $out = shift;
    my $m   = Net::IMAP::Simple->new("$host:$port", $security eq 'tls' ? (use_ssl => 1, ssl_options => [%tls]) : ())
        or die "imap: $Net::IMAP::Simple::errstr\n";
    $m->login($user, $password) or die 'login: ' . $m->errstr . "\n";
    my $count = $m->examine('INBOX');
    for my $n (1 .. $count) {
        my $lines = $m->get($n) or die $m->errstr;
        put("$out/$n", join '', @$lines);
    }
    $m->quit;
}

sub pop3 {
    my $out = shift;
    my $m   = Net::POP3->new($host, Port => $port, Timeout => 120, Debug => $ENV{DEBUG} ? 1 : 0, $security eq 'tls' ? (SSL => 1, %tls) : ())
        or die "pop3: $@\n";
    $m->starttls(%tls) or die $m->message if $security eq 'starttls';
    defined $m->login($user, $password) or die 'login: ' . $m->message;
    my $list = $m->list;
    for my $n (sort { $a <=> $b } keys %$list) {
        put("$out/$n", join '', @{ $m->get($n) });
    }
    $m->quit;
}

sub submit {
    my ($from, $to, @files) = @_;
    my $m = Net::SMTP->new($host, Port => $port, Hello => 'client.example.org', Timeout => 120,
        $security eq 'tls' ? (SSL => 1, %tls) : ()) or die "smtp: $@\n";
    $m->starttls(%tls) or die $m->message if $security eq 'starttls';
    $m->auth($user, $password) or die 'auth: ' . $m->code . ' ' . $m->message;
    for my $file (@files) {
        open my $f, '<:raw', $file or die $!;
        my $content = do { local $/; <$f> };
        $content =~ s/\r\n/\n/g; # Net::Cmd makes them CRLF again
        $m->mail($from, Bits => 8) && $m->to($to) && $m->data($content) or die $m->code . ' ' . $m->message;
    }
    $m->quit;
}

sub put {
    my ($name, $content) = @_;
    open my $f, '>:raw', $name or die $!;
    print $f $content;
    close $f or die $!;
}
