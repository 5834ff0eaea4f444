package check

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"authferry/demo"
	"authferry/internal/printable"
	"authferry/internal/protocol"
	"authferry/internal/secret"
	"authferry/tokens"
	"authferry/tokens/oauth"
)

func TestScrub(t *testing.T) {
	t.Parallel()
	const token = "ya29.0123456789abcdefghij"
	s := secret.NewScrubber(minSecret, token, "short", "p w/secret+1234")
	for text, want := range map[string]string{
		"nothing":                           "nothing",
		"the token " + token + " is bad":    "the token ••• is bad",
		"cut: 3456789abcd...":               "cut: •••...",
		"ya29. and short are no secrets":    "ya29. and short are no secrets",
		token + token:                       "••••••",
		"p+w%2Fsecret%2B1234":               "•••",
		"in base64 " + b64(token):           "in base64 •••",
		"grüße " + token + " ünd so weiter": "grüße ••• ünd so weiter",
	} {
		if got := s.ScrubPieces(text); got != want {
			t.Errorf("%q became %q instead of %q", text, got, want)
		}
	}
	if got := quoted(s, strings.Repeat("é", 500)); len(got) > printable.Limit+len(`""...`) || !strings.HasSuffix(got, `é"...`) {
		t.Errorf("cut to %d bytes: %s", len(got), got)
	}
	if got := quoted(s, "two\r\nlines \x1b[31m"); got != `"two lines \x1b[31m"` {
		t.Errorf("quoted %s", got)
	}
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// TestParrots: every server repeats all that it is told, and no step shows it.
func TestParrots(t *testing.T) {
	t.Parallel()
	for _, mechanism := range []string{"XOAUTH2", "OAUTHBEARER"} {
		c := newFixture(t, demo.Options{})
		c.provider.Mechanism = mechanism
		corp := newAuthority(t, "Example Corp IT")
		c.provider.RootCAs = corp.pool
		config := corp.sign(t, "127.0.0.1", time.Now().Add(time.Hour))
		for protocol, e := range map[protocol.Protocol]*oauth.Endpoint{"imap": &c.provider.IMAP, "pop3": &c.provider.POP3, "smtp": &c.provider.SMTP} {
			e.Host, e.Port = serve(t, func(conn net.Conn) { repeatAll(protocol, tls.Server(conn, config)) })
		}
		endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := r.ParseForm(); err != nil {
				t.Error(err)
			}
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusUnauthorized)
			if err := json.NewEncoder(w).Encode(map[string]string{
				"error":             "invalid_client",
				"error_description": r.PostForm.Get("refresh_token") + " " + r.PostForm.Get("client_secret") + url.QueryEscape(r.PostForm.Get("client_secret")),
			}); err != nil {
				t.Error(err)
			}
		}))
		defer endpoint.Close()
		c.provider.TokenURL = endpoint.URL
		known := map[string]string{"access": "ya29.7Jq-access-2Yk_0Zp4mR", "refresh": "1//09refresh-Qw8xV3nB5t", "client": "GOCSPX-client/9Lk+3Hd7"}
		c.provider.ClientSecret = secret.String(known["client"])
		vault, err := c.open()
		if err != nil {
			t.Fatal(err)
		}
		if err := vault.Connect(t.Context(), tokens.Connection{Mailbox: me, Provider: "gmail", Token: &oauth.Token{
			Access: secret.String(known["access"]), Refresh: secret.String(known["refresh"]), Minted: time.Now(), Expiry: time.Now().Add(time.Hour),
		}}); err != nil {
			t.Fatal(err)
		}
		r := c.check()
		r.onlyFailures("client", me+" refresh", me+" imap login", me+" pop3 login", me+" smtp login")
		for _, proto := range protocol.All {
			r.want(me, string(proto)+" login", Fail, "parrot", "•••")
		}
		r.want("", "client", Fail, "•••")
		shown, err := json.Marshal(r.steps)
		if err != nil {
			t.Fatal(err)
		}
		response := "user=" + me + "\x01auth=Bearer " + known["access"] + "\x01\x01"
		known["response"] = b64(response)
		for name, s := range known {
			for i := range len(s) - 11 {
				if strings.Contains(string(shown), s[i:i+11]) {
					t.Errorf("%s: a piece of the %s secret, %q, is shown in\n%s", mechanism, name, s[i:i+11], shown)
					break
				}
			}
		}
	}
}

// repeatAll refuses a login with a text that repeats it.
func repeatAll(protocol protocol.Protocol, conn net.Conn) {
	in := bufio.NewReader(conn)
	hear := func() string {
		line, _ := in.ReadString('\n') // an empty line ends it as well as an error
		return strings.TrimSpace(line)
	}
	plain := func(line string) string {
		b, _ := base64.StdEncoding.DecodeString(line) // what is not base64 is repeated as it is
		return strings.ReplaceAll(string(b), "\x01", " ")
	}
	switch protocol {
	case "imap":
		fmt.Fprint(conn, "* OK [CAPABILITY IMAP4rev1 SASL-IR] hello\r\n")
		words := strings.Fields(hear() + " - - - -")
		fmt.Fprintf(conn, "+ %s\r\n", b64("parrot "+words[3]+" "+plain(words[3])))
		fmt.Fprintf(conn, "%s NO parrot %s %s%s\r\n", words[0], words[3], hear(), plain(words[3]))
	case "pop3":
		fmt.Fprint(conn, "+OK hello\r\n")
		hear()
		fmt.Fprint(conn, "+\r\n")
		said := hear()
		fmt.Fprintf(conn, "+ %s\r\n", b64("parrot "+said))
		fmt.Fprintf(conn, "-ERR parrot %s %s%s\r\n", said[:min(40, len(said))], hear(), plain(said))
	case "smtp":
		fmt.Fprint(conn, "220 hello\r\n")
		hear()
		fmt.Fprintf(conn, "250-hello\r\n250-%s\r\n250 AUTH XOAUTH2\r\n", "SIZE 35882577\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250-PIPELINING\r\n250-CHUNKING\r\n250-SMTPUTF8")
		words := strings.Fields(hear() + " - - - -")
		fmt.Fprintf(conn, "334 %s\r\n", b64("parrot "+plain(words[2])))
		fmt.Fprintf(conn, "535-5.7.8 parrot %s\r\n535 5.7.8 %s%s\r\n", words[2], hear(), plain(words[2]))
	}
	hear()
}
