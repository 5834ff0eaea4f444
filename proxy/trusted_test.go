package proxy

import (
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"authferry/tokens"
)

const sender = "scanner@example.com"

func TestMailFrom(t *testing.T) {
	for line, want := range map[string]string{
		"MAIL FROM:<a@b>":                           "MAIL FROM:<" + sender + ">",
		"mail  from: <a@b> SIZE=7 BODY=8BITMIME":    "MAIL FROM:<" + sender + "> SIZE=7 BODY=8BITMIME",
		"MAIL FROM:a@b  SIZE=7 ":                    "MAIL FROM:<" + sender + "> SIZE=7",
		"MAIL FROM:":                                "MAIL FROM:<" + sender + ">",
		"MAIL FROM:<>":                              "MAIL FROM:<" + sender + ">",
		`MAIL FROM:<"a> SIZE=1 \">"@b>`:             "MAIL FROM:<" + sender + ">",
		"MAIL FROM:<@relay,@other:a@b>":             "MAIL FROM:<" + sender + ">",
		"MAIL FROM:<a@b":                            "",
		"MAIL FROM:<a@b>SIZE=7":                     "",
		"MAIL FROM:<a@b> <c@d>":                     "",
		"MAIL FROM:<a@b>\rRCPT TO:<c@d>":            "",
		"MAIL FROM:a\x00b":                          "",
		"MAIL":                                      "",
		"MAIL TO:<a@b>":                             "",
		"MAILFROM:<a@b>":                            "",
		`MAIL FROM:<"a@b>`:                          "",
		`MAIL FROM:<"a\` + `">`:                     "",
		"MAIL FROM:<a@b> SIZE=7 AUTH=<> ORCPT=a;b>": "",
	} {
		if got, ok := mailFrom(line, sender); got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v, want %q", line, got, ok, want)
		}
	}
}

// FuzzMailFrom: whatever a device sends, the sender is the one it may be, and
// no other path is on the line.
func FuzzMailFrom(f *testing.F) {
	for _, s := range []string{"MAIL FROM:<a@b> SIZE=1", "mail from: a@b", `MAIL FROM:<"a\"> SIZE=1"@b>`, "MAIL FROM:<\r\n>"} {
		f.Add(s)
	}
	form := regexp.MustCompile(`^MAIL FROM:<` + regexp.QuoteMeta(sender) + `>( [^<>\r\n\x00]*)?$`)
	f.Fuzz(func(t *testing.T, line string) {
		got, ok := mailFrom(line, sender)
		if ok != form.MatchString(got) {
			t.Errorf("%q: %q, %v", line, got, ok)
		}
		if again, _ := mailFrom(got, sender); ok && again != got {
			t.Errorf("%q becomes %q, and that %q", line, got, again)
		}
	})
}

func TestNarrowestNetworkIsTrusted(t *testing.T) {
	trust := func(mailbox string, networks ...string) Trusted {
		t := Trusted{Trust: tokens.Trust{Mailbox: mailbox}}
		for _, n := range networks {
			t.Networks = append(t.Networks, netip.MustParsePrefix(n))
		}
		return t
	}
	g := NewGate(GateLimits{Trusted: []Trusted{
		trust("floor@example.com", "192.168.1.0/24", "fe80::/64"), trust("scanner@example.com", "10.0.0.1/32", "192.168.1.50/32"),
		trust("house@example.com", "192.168.0.0/16"),
	}})
	for addr, want := range map[string]string{
		"192.168.1.50": "scanner@", "192.168.1.51": "floor@", "192.168.2.1": "house@", "10.0.0.1": "scanner@", "fe80::1%eth0": "floor@",
		"10.0.0.2": "", "2001:db8::1": "", "127.0.0.1": "",
	} {
		got := g.trusted(netip.MustParseAddr(addr))
		if (got != nil) != (want != "") || got != nil && !strings.HasPrefix(got.Trust.Mailbox, want) {
			t.Errorf("%s: %+v, want %q", addr, got, want)
		}
	}
}
