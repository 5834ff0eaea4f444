package imapsyntax

import (
	"maps"
	"testing"
)

func TestLiteralAt(t *testing.T) {
	for _, tt := range []struct {
		line  string
		size  int
		waits bool
		ok    bool
	}{
		{"a LOGIN {5}", 5, true, true},
		{"a LOGIN {5+}", 5, false, true},
		{"a ID ({4}", 4, true, true},
		{"a LOGIN me secret{5}", 0, false, false}, // a bare password
		{`a LOGIN "me" "{5}"`, 0, false, false},
		{"a LOGIN {}", 0, false, false},
		{"a LOGIN {-1}", 0, false, false},
		{"a LOGIN {99999999999999999999}", 0, false, false},
		{"{5}", 0, false, false},
		{"", 0, false, false},
	} {
		size, waits, ok := LiteralAt(tt.line)
		if ok != tt.ok || ok && (size != tt.size || waits != tt.waits) {
			t.Errorf("literalAt(%q) = %d, %v, %v", tt.line, size, waits, ok)
		}
	}
}

func TestLoginArguments(t *testing.T) {
	for _, tt := range []struct{ args, user, password string }{
		{`me@example.org hunter2`, "me@example.org", "hunter2"},
		{`"me@example.org" "hun\"ter\\2"`, "me@example.org", `hun"ter\2`},
		{`"DOMAIN\me" "a\b"`, `DOMAIN\me`, `a\b`}, // not escaped, as old scripts do
		{"{2}\r\nme {3}\r\na b", "me", "a b"},
		{"{2+}\r\nme \"p\"", "me", "p"},
		{"\"me\" {0}\r\n", "me", ""},
		{`recent:me@example.org abcd efgh ijkl mnop`, "recent:me@example.org", "abcd efgh ijkl mnop"},
		{`me ""`, "me", ""},
		{`  me   p  `, "me", "p"},
		{`"é" "пароль"`, "é", "пароль"},
	} {
		args := Args(tt.args)
		user, ok1 := args.Astring()
		password, ok2 := args.Last()
		if !ok1 || !ok2 || user != tt.user || password != tt.password {
			t.Errorf("%q = %q %v, %q %v", tt.args, user, ok1, password, ok2)
		}
	}
	for _, bad := range []string{"", "me", `"me" `, `"me`, `me "p`, `me "p" more`, "{9}\r\nme p", "me {1}\r\n", "(me) p"} {
		args := Args(bad)
		_, ok1 := args.Astring()
		_, ok2 := args.Last()
		if ok1 && ok2 {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestIDPairs(t *testing.T) {
	for args, want := range map[string]map[string]string{
		`("name" "Mac OS X Mail" "VERSION" "16.0 (3774)")`: {"name": "Mac OS X Mail", "version": "16.0 (3774)"},
		"(\"name\" {4}\r\nmutt)":                           {"name": "mutt"},
		`("name" NIL "os")`:                                {"name": "NIL"},
		"NIL":                                              {},
		"":                                                 {},
		"((((":                                             {},
	} {
		if got := Args(args).Pairs(); !maps.Equal(got, want) {
			t.Errorf("pairs of %q = %q", args, got)
		}
	}
}

func TestParseStatus(t *testing.T) {
	for in, want := range map[string]Status{
		"OK [CAPABILITY IMAP4rev1 IDLE] hi": {"OK", "CAPABILITY", "IMAP4rev1 IDLE", "hi", "[CAPABILITY IMAP4rev1 IDLE] hi"},
		"no [AuthenticationFailed] x":       {"NO", "AUTHENTICATIONFAILED", "", "x", "[AuthenticationFailed] x"},
		"OK Success [THROTTLED]":            {"OK", "", "", "Success [THROTTLED]", "Success [THROTTLED]"},
		"OK":                                {"OK", "", "", "", ""},
		"OK [broken":                        {"OK", "", "", "[broken", "[broken"},
		"3 EXISTS":                          {},
		"":                                  {},
	} {
		if got := ParseStatus(in); got != want {
			t.Errorf("parseStatus(%q) = %q", in, got)
		}
	}
}
