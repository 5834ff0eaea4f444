package mailsettings

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"

	"authferry/internal/protocol"
	"authferry/proxy"
)

func number(s string) int { n, _ := strconv.Atoi(s); return n }

func decimal(n int) string { return strconv.Itoa(n) }

// TestSettingsTexts: every language has the texts of English, with the same
// values in them; each is on a card, and cards have no others.
func TestSettingsTexts(t *testing.T) {
	placeholder := regexp.MustCompile(`\{[a-z]+\}`)
	reference := texts()[fallback]
	for language, texts := range texts() {
		if diff := cmp.Diff(sortedKeys(reference), sortedKeys(texts)); diff != "" {
			t.Errorf("%s: %s", language, diff)
		}
		for key, text := range texts {
			if a, b := placeholder.FindAllString(reference[key], -1), placeholder.FindAllString(text, -1); !slices.Equal(a, b) {
				t.Errorf("%s: %s has %v instead of %v", language, key, b, a)
			}
			if text == "" {
				t.Errorf("%s: %s is empty", language, key)
			}
		}
	}
	used := map[string]bool{}
	for _, key := range []string{"value.password", "value.normal", "value.none", "value.on", "value.off",
		"problem.loopback", "problem.in", "problem.out", "note.authority", "note.authority_cloud", "note.quote",
		"dynamics.kind_other", "dynamics.credential", "printer.login"} {
		used[key] = true
	}
	for _, p := range cardPrograms {
		for _, row := range p.rows {
			used[row.label] = true
		}
		for _, key := range p.notes {
			used[key] = true
		}
	}
	maps.DeleteFunc(used, func(key string, _ bool) bool { return strings.HasPrefix(key, "=") })
	if diff := cmp.Diff(sortedKeys(reference), sortedKeys(used)); diff != "" {
		t.Errorf("texts and what cards say: %s", diff)
	}
}

func showCard(b *strings.Builder, c Card) {
	fmt.Fprintf(b, "== %s: %s\n", c.Program, c.Title)
	if c.Problem != "" {
		fmt.Fprintln(b, c.Problem)
	}
	for _, f := range c.Fields {
		mark := ""
		if f.Password {
			mark = " (secret)"
		}
		fmt.Fprintf(b, "%s: %s%s\n", f.Label, f.Value, mark)
	}
	for _, n := range c.Notes {
		fmt.Fprintf(b, "* %s\n", n)
	}
	if c.File != "" {
		fmt.Fprintf(b, "-> %s\n%s", c.File, c.Content)
	}
}

// TestCards compares the cards with those in testdata, which people have read.
// UPDATE_GOLDEN=1 writes them again.
func TestCards(t *testing.T) {
	m := CardMailbox{Address: "you@example.com", Alias: "scanner"}
	for _, language := range Languages {
		var b strings.Builder
		for _, c := range Cards(m, everyService, language) {
			showCard(&b, c)
		}
		path := filepath.Join("testdata", "settings", "cards."+language+".txt")
		if os.Getenv("UPDATE_GOLDEN") != "" {
			if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), b.String()); diff != "" {
			t.Errorf("%s: %s", language, diff)
		}
	}
}

// TestCardProblems: the card of a program that cannot reach authferry has no server,
// and names what is missing.
func TestCardProblems(t *testing.T) {
	loopback := everyService[:2]
	for _, c := range []struct {
		program  string
		services []Service
		problem  string // "" is none
	}{
		{"livespace", loopback, "listens on this machine only"},
		{"printer", loopback, "listens on this machine only"},
		{"dynamics", everyService[7:], "has to read mail"},
		{"outlook", loopback, ""},
		{"outlook", everyService[:1], "has to send mail"},
		{"mbsync", []Service{everyService[5]}, "has to read mail"},
		{"thunderbird", []Service{everyService[5]}, ""},
		{"python", everyService[7:], "has to read mail"},
		{"msmtp", nil, "has to send mail"},
	} {
		card, ok := CardFor(c.program, CardMailbox{Address: "you@example.com"}, c.services, "en")
		if !ok || (card.Problem != "") != (c.problem != "") || !strings.Contains(card.Problem, c.problem) {
			t.Errorf("%s: %q instead of %q", c.program, card.Problem, c.problem)
		}
		if card.Problem != "" && (len(card.Fields) > 0 || card.Content != "") {
			t.Errorf("%s: settings that lead nowhere: %+v", c.program, card)
		}
	}
	if _, ok := CardFor("eudora", CardMailbox{}, nil, "en"); ok {
		t.Error("eudora")
	}
	if c, ok := CardFor("scanner", CardMailbox{Address: "you@example.com"}, everyService, "xx"); !ok || c.Program != "printer" || c.Fields[0].Label != "Outgoing server (SMTP)" {
		t.Errorf("%+v", c)
	}
	own, _ := CardFor("livespace", CardMailbox{Address: "you@example.com", OwnAuthority: true}, everyService, "en")
	if last := own.Notes[len(own.Notes)-1]; !strings.Contains(last, "does not accept") {
		t.Errorf("a certificate of one's own: %s", last)
	}
	near, _ := CardFor("outlook", CardMailbox{Address: "you@example.com", OwnAuthority: true}, loopback, "en")
	if strings.Contains(strings.Join(near.Notes, ""), "ca.pem") {
		t.Error("a certificate where there is no TLS")
	}
}

// readyServices are one service for reading and one for sending, for each kind of TLS.
func readyServices(incoming protocol.Protocol, security proxy.Security) []Service {
	return []Service{
		{Protocol: incoming, Host: "mail.example.com", Port: 1000, Security: security},
		{Protocol: "smtp", Host: "mail.example.com", Port: 2000, Security: security},
	}
}

// TestReadyFiles: for every kind of service, no placeholder is left in a file, and its
// interpreter accepts it.
func TestReadyFiles(t *testing.T) {
	t.Parallel()
	checks := map[string][]string{ // programs that say whether a file is well-formed
		"python": {"python3", "-c", "import ast, sys; ast.parse(sys.stdin.read())"},
		"php":    {"php", "-l"},
	}
	checked := map[string]bool{}
	for _, id := range ReadyFiles() {
		for _, incoming := range []protocol.Protocol{protocol.IMAP, protocol.POP3} {
			for _, security := range []proxy.Security{proxy.Plain, proxy.StartTLS, proxy.Implicit, proxy.Either} {
				name := fmt.Sprintf("%s %s %d", id, incoming, security)
				card, _ := CardFor(id, CardMailbox{Address: "o'brien+x@example.com"}, readyServices(incoming, security), "en")
				if card.Problem != "" && id == "mbsync" && incoming == "pop3" {
					continue
				}
				if card.Content == "" || regexp.MustCompile(`(?m)^@|\{[a-z.]+\}`).MatchString(card.Content) {
					t.Errorf("%s: %+v", name, card)
				}
				if !strings.Contains(card.Content, `"o'brien+x@example.com"`) {
					t.Errorf("%s: the address is not in quotes\n%s", name, card.Content)
				}
				check := checks[id]
				if check == nil || checked[card.Content] {
					continue
				}
				checked[card.Content] = true
				if _, err := exec.LookPath(check[0]); err != nil {
					continue
				}
				cmd := exec.Command(check[0], check[1:]...)
				cmd.Stdin = strings.NewReader(card.Content)
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("%s: %v\n%s\n%s", name, err, out, card.Content)
				}
			}
		}
		for _, address := range []string{`$x@example.com`, "`x`@example.com", `x{y}@example.com`, `x#y@example.com`, `x%y@example.com`, `a"b@example.com`, `a\b@example.com`, "a\n@example.com"} {
			card, _ := CardFor(id, CardMailbox{Address: address}, everyService, "en")
			if card.Content != "" || card.File != "" || len(card.Notes) == 0 {
				t.Errorf("%s takes %q: %+v", id, address, card)
			}
		}
	}
}

// TestOutlookProfile: every setting of the account is in the table of
// properties, under the section that the account names.
func TestOutlookProfile(t *testing.T) {
	for _, c := range []struct {
		services []Service
		want     []string
	}{
		{everyService, []string{"Account1=IMAP_I_Mail", "IMAPServer=mail.example.com", "IMAPPort=993", "IMAPUseSSL=1", "SMTPPort=465", "SMTPSecureConnection=1", "IMAPPort=PT_LONG,0x0104"}},
		{everyService[5:8], []string{"Account1=I_Mail", "POP3Port=995", "LeaveOnServer=1", "SMTPPort=587", "SMTPSecureConnection=2", "LeaveOnServer=PT_LONG,0x1000"}},
	} {
		content, err := OutlookProfile("you@example.com", c.services, false)
		if err != nil {
			t.Fatal(err)
		}
		sections := map[string][]string{}
		section := ""
		for line := range strings.SplitSeq(string(content), "\r\n") {
			switch {
			case strings.Contains(line, "\n"):
				t.Errorf("a line that does not end as Windows has it: %q", line)
			case strings.HasPrefix(line, "["):
				section = strings.Trim(line, "[]")
			case strings.Contains(line, "="):
				name, _, _ := strings.Cut(line, "=")
				sections[section] = append(sections[section], name)
			}
		}
		for _, want := range c.want {
			if !strings.Contains(string(content), "\r\n"+want+"\r\n") {
				t.Errorf("no %s in\n%s", want, content)
			}
		}
		table := sections[c.want[0][len("Account1="):]]
		if diff := cmp.Diff(sections["Account1"][1:], table[1:]); diff != "" {
			t.Errorf("settings and their properties: %s", diff)
		}
	}
	content, err := OutlookProfile("ż@example.com", everyService, false)
	if err != nil {
		t.Fatal(err)
	}
	var units []uint16
	for i := 2; i+1 < len(content); i += 2 {
		units = append(units, uint16(content[i])|uint16(content[i+1])<<8)
	}
	if text := string(utf16.Decode(units)); content[0] != 0xff || content[1] != 0xfe || !strings.Contains(text, "EmailAddress=ż@example.com\r\n") {
		t.Errorf("%q", text)
	}
	onlyStartTLS := []Service{everyService[3], everyService[7]}
	if content, err := OutlookProfile("you@example.com", onlyStartTLS, false); err == nil {
		t.Errorf("STARTTLS, for which there is no word:\n%s", content)
	}
}
