package tokens

import (
	"context"
	"errors"
	"math"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"authferry/internal/hint"
	"authferry/internal/protocol"
	"authferry/internal/secret"
	"authferry/tokens/store"
)

func TestGeneratedPassword(t *testing.T) {
	shape := regexp.MustCompile(`^([a-hjkmnp-z]{4} ){3}[a-hjkmnp-z]{4}$`)
	if bits := defaultLength * math.Log2(float64(len(letters))); len(letters) != 23 || bits < 72 {
		t.Errorf("%d letters, %.1f bits", len(letters), bits)
	}
	seen := map[rune]int{}
	for range 500 {
		_, p, err := newPassword(PasswordSpec{Name: "x"}, time.Now())
		if err != nil || !shape.MatchString(p.Reveal()) {
			t.Fatalf("generated %q, %v", p.Reveal(), err)
		}
		for _, r := range p.Reveal() {
			seen[r]++
		}
	}
	delete(seen, ' ')
	for _, r := range letters {
		// 8,000 letters: 348 of each, with a standard deviation of 18.
		if seen[r] < 348-8*18 || seen[r] > 348+8*18 {
			t.Errorf("%c was drawn %d times of about 348", r, seen[r])
		}
	}
	if _, p, err := newPassword(PasswordSpec{Name: "x", Length: 13}, time.Now()); err != nil || len(p) != 16 {
		t.Errorf("13 letters: %q, %v", p.Reveal(), err)
	}
}

func TestPasswordAsPeopleTypeIt(t *testing.T) {
	r := newRig(t)
	plain := r.password.Reveal()
	for name, typed := range map[string]string{
		"as shown":             plain,
		"without spaces":       strings.ReplaceAll(plain, " ", ""),
		"in capitals":          strings.ToUpper(plain),
		"with a line end":      plain + "\r\n",
		"with tabs":            "\t" + strings.ReplaceAll(plain, " ", "\t"),
		"no-break spaces":      strings.ReplaceAll(plain, " ", "\u00a0"),
		"Latin-1 spaces":       strings.ReplaceAll(plain, " ", "\xa0"),
		"narrow spaces":        strings.ReplaceAll(plain, " ", "\u202f"),
		"zero width spaces":    strings.ReplaceAll(plain, " ", "\u200b"),
		"with byte order mark": "\ufeff" + plain,
	} {
		l := r.login()
		l.Password = secret.String(typed)
		if _, err := r.Authorize(context.Background(), l); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, typed := range map[string]string{
		"empty": "", "cut": plain[:len(plain)-1], "longer": plain + "a", "another letter": "i" + plain[1:], "another byte": plain + "\xff",
	} {
		l := r.login()
		l.Password = secret.String(typed)
		if _, err := r.Authorize(context.Background(), l); !errors.Is(err, ErrBadLogin) {
			t.Errorf("%s: %v, not ErrBadLogin", name, err)
		}
	}
}

func TestChosenPasswordIsExact(t *testing.T) {
	r := newRig(t)
	const chosen = " Correct horse  "
	if _, err := r.AddPassword(context.Background(), me, PasswordSpec{Name: "preset", Preset: chosen}); err != nil {
		t.Fatal(err)
	}
	for typed, right := range map[string]bool{
		chosen: true, " correct horse  ": false, "Correct horse": false, " Correct horse  \n": false, " Correct horse\u00a0 ": false,
	} {
		for range 2 { // the second time it may be remembered
			l := r.login()
			l.Password = secret.String(typed)
			_, err := r.Authorize(context.Background(), l)
			if right && err != nil || !right && !errors.Is(err, ErrBadLogin) {
				t.Errorf("%q: %v", typed, err)
			}
		}
	}
	l := r.login()
	l.Password = chosen
	if err := r.RevokePassword(context.Background(), me, "PRESET"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Authorize(context.Background(), l); !errors.Is(err, ErrBadLogin) {
		t.Errorf("a password that is remembered outlives its revocation: %v", err)
	}
	if _, err := r.AddPassword(context.Background(), me, PasswordSpec{Name: "preset", Preset: "another chosen one"}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Authorize(context.Background(), l); !errors.Is(err, ErrBadLogin) {
		t.Errorf("a password that is remembered serves another of its name: %v", err)
	}
}

func TestPasswordSpecs(t *testing.T) {
	r := newRig(t)
	good := PasswordSpec{Name: "x"}
	for says, change := range map[string]func(*PasswordSpec){
		"needs a name":                     func(s *PasswordSpec) { s.Name = " " },
		"name is too long":                 func(s *PasswordSpec) { s.Name = strings.Repeat("x", 65) },
		"cannot be printed":                func(s *PasswordSpec) { s.Name = "a\x1bb" },
		"can be guessed":                   func(s *PasswordSpec) { s.Length = 11 },
		"letters is too long":              func(s *PasswordSpec) { s.Length = 129 },
		"too short":                        func(s *PasswordSpec) { s.Preset = "elevenchars" },
		"at most 255 bytes":                func(s *PasswordSpec) { s.Preset = secret.String(strings.Repeat("x", 256)) },
		"line break":                       func(s *PasswordSpec) { s.Preset = "twelve chars\n" },
		`the protocol "IMAP"`:              func(s *PasswordSpec) { s.Protocols = []protocol.Protocol{"IMAP"} },
		"a network is not valid":           func(s *PasswordSpec) { s.Networks = []netip.Prefix{{}} },
		"expired already":                  func(s *PasswordSpec) { s.Expires = time.Now() },
		`has a password named "livespace"`: func(s *PasswordSpec) { s.Name = "livespace" },
	} {
		spec := good
		change(&spec)
		_, err := r.AddPassword(context.Background(), me, spec)
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v; want %q", err, says)
		}
	}
	if _, err := r.AddPassword(context.Background(), "you@gmail.com", good); !errors.Is(err, store.ErrNoMailbox) || !strings.Contains(err.Error(), "authferry connect you@gmail.com") {
		t.Errorf("a mailbox that is not connected: %v", err)
	}
	if err := r.RevokePassword(context.Background(), me, "nope"); err == nil || !strings.Contains(err.Error(), "password list") {
		t.Errorf("a password that is not there: %v", err)
	}
}

// TestAllComplaints: one check reports everything, each with its field and hint.
func TestAllComplaints(t *testing.T) {
	now := time.Now()
	err := (&PasswordSpec{
		Length: 200, Protocols: []protocol.Protocol{"imap", "ftp"}, Networks: []netip.Prefix{{}, {}}, Expires: now,
		ReadOnly: true, MessagesPerHour: -1, Recipients: 1e6,
	}).Check(now)
	all, ok := errors.AsType[Complaints](err)
	if !ok || hint.Of(err) != all[0].Hint {
		t.Fatalf("%T %v, hint %q", err, err, hint.Of(err))
	}
	var fields []string
	for _, c := range all {
		fields = append(fields, c.Field)
		if c.Rule == "" || c.What == "" || c.Hint == "" || !strings.Contains(err.Error(), c.What) {
			t.Errorf("%+v in %v", c, err)
		}
	}
	want := []string{FieldName, FieldLength, FieldProtocols, FieldNetworks, FieldExpires, FieldMessages, FieldRecipients, FieldReadOnly}
	if !slices.Equal(fields, want) {
		t.Errorf("complaints of %q, want %q", fields, want)
	}
	if err := (&PasswordSpec{Name: "x", Length: 12, Protocols: []protocol.Protocol{"smtp"}, Expires: now.Add(1), Recipients: 1}).Check(now); err != nil {
		t.Error(err)
	}
}

func TestPasswordLimits(t *testing.T) {
	r := newRig(t)
	p, err := r.AddPassword(context.Background(), me, PasswordSpec{
		Name: "limited", Protocols: []protocol.Protocol{"imap", "pop3"}, Expires: time.Now().Add(time.Hour),
		Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.9/24"), netip.MustParsePrefix("::ffff:198.51.100.0/120"), netip.MustParsePrefix("2001:db8::/32")},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		from     string
		protocol protocol.Protocol
		says     string
		later    time.Duration
	}{
		{"192.0.2.1", "imap", "", 0},
		{"::ffff:192.0.2.1", "pop3", "", 0},
		{"::ffff:198.51.100.7", "imap", "", 0},
		{"2001:db8::1", "imap", "", 0},
		{"2001:db8::1%eth0", "imap", "", 0},
		{"192.0.3.1", "imap", `password "limited" is not allowed from 192.0.3.1`, 0},
		{"::ffff:192.0.3.1", "imap", `password "limited" is not allowed from 192.0.3.1`, 0},
		{"", "imap", `password "limited" is not allowed from`, 0},
		{"192.0.2.1", "smtp", `password "limited" is for imap, pop3, not for smtp`, 0},
		{"192.0.2.1", "imap", `password "limited" expired on `, 2 * time.Hour},
	} {
		r.clock.Ahead.Store(int64(c.later))
		l := Login{User: me, Password: p, Protocol: c.protocol}
		if c.from != "" {
			l.From = netip.MustParseAddr(c.from)
		}
		g, err := r.Authorize(context.Background(), l)
		if c.says == "" && (err != nil || g.PasswordName != "limited") {
			t.Errorf("%s from %s: %v", c.protocol, c.from, err)
		}
		if c.says != "" && (!errors.Is(err, ErrBadLogin) || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s from %s: %v; want ErrBadLogin and %q", c.protocol, c.from, err, c.says)
		}
	}
}

// TestOneSecretTwoPasswords: of two passwords that are the same, the one that
// allows the login counts, whichever comes first.
func TestOneSecretTwoPasswords(t *testing.T) {
	r := newRig(t)
	for name, proto := range map[string]protocol.Protocol{"in": protocol.IMAP, "out": protocol.SMTP} {
		if _, err := r.AddPassword(context.Background(), me, PasswordSpec{Name: name, Preset: "the same for both", Protocols: []protocol.Protocol{proto}}); err != nil {
			t.Fatal(err)
		}
	}
	for name, proto := range map[string]protocol.Protocol{"in": protocol.IMAP, "out": protocol.SMTP} {
		g, err := r.Authorize(context.Background(), Login{User: me, Password: "the same for both", Protocol: proto, From: here})
		if err != nil || g.PasswordName != name {
			t.Errorf("%s: %v, %v", proto, g, err)
		}
	}
}

func FuzzFoldGenerated(f *testing.F) {
	for _, s := range []string{"abcd efgh jkmn pqrs", "ABCD\u00a0efgh", "\xa0\xff\ufeff", "İ"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		folded := foldGenerated(secret.String(typed))
		if again := foldGenerated(folded); again != folded {
			t.Errorf("%q folds to %q and that to %q", typed, folded.Reveal(), again.Reveal())
		}
		if strings.ContainsAny(folded.Reveal(), " \t\r\n") {
			t.Errorf("%q folds to %q", typed, folded.Reveal())
		}
	})
}
