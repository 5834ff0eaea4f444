package filter_test

import (
	"regexp"
	"testing"

	"authferry/proxy/filter"
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
		if got, ok := filter.MailFrom(line, sender); got != want || ok != (want != "") {
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
		got, ok := filter.MailFrom(line, sender)
		if ok != form.MatchString(got) {
			t.Errorf("%q: %q, %v", line, got, ok)
		}
		if again, _ := filter.MailFrom(got, sender); ok && again != got {
			t.Errorf("%q becomes %q, and that %q", line, got, again)
		}
	})
}
