package proxy

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"authferry/internal/protocol"
	"authferry/internal/secret"
	"authferry/internal/testtls"
	"authferry/proxy/dialoguetest"
	"authferry/proxy/gate"
	"authferry/tokens"
	"authferry/tokens/oauth"
	"authferry/tokens/store"
)

// lockedBuffer is a log that sessions write and the test reads.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// newDialogue sets up what a file asks for: a vault with one mailbox, a token
// endpoint, a provider that is played by the file, and the server in between.
func newDialogue(t *testing.T, file string) (*dialogue, []dialoguetest.Step) {
	head, steps := dialoguetest.Read(t, file)
	d := &dialogue{T: t, head: head, legs: map[byte]*leg{}, incoming: make(chan net.Conn, 4), log: &lockedBuffer{}}
	log := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zapcore.EncoderConfig{
		MessageKey: "event", LevelKey: "level", EncodeLevel: zapcore.LowercaseLevelEncoder, EncodeDuration: zapcore.SecondsDurationEncoder,
	}), zapcore.AddSync(d.log), zapcore.DebugLevel))
	p := d.provider()
	vault, password := d.vault(p, log)
	token2 := "token-2"
	d.expand = strings.NewReplacer("$USER", dialogueUser, "$PASS", password.Reveal(), "$TOKEN1", d.token1(), "$TOKEN2", token2)
	d.server = &Server{
		Protocol: protocol.Protocol(head["protocol"]), Hostname: "ferry.example.org", Vault: vault, Log: log,
		TLS: testtls.ServerTLS(), Gate: gate.New(gate.Limits{Failures: d.number("failures"), Delay: -1}),
		Providers: func() []*oauth.Provider { return []*oauth.Provider{p} },
		Limits:    Limits{Login: d.limit("login"), Command: d.limit("command"), ProviderLogin: d.limit("provider-login"), Stall: patience, Hello: d.limit("hello")},
		Security:  map[string]Security{"": Plain, "starttls": StartTLS, "tls": Implicit, "either": Either}[head["security"]],
	}
	d.server.Attempts = d.attempts.note
	if network := d.head["trusted"]; network != "" {
		d.server.Gate.Configure(gate.Limits{Delay: -1, Trusted: []gate.Trusted{{
			Networks: []netip.Prefix{netip.MustParsePrefix(network)}, WithoutTLS: d.head["without-tls"] == "yes",
			Trust: tokens.Trust{Mailbox: cmp.Or(d.head["trusted-mailbox"], dialogueUser), Name: "second floor",
				Rules: tokens.PasswordRules{MessagesPerHour: d.number("messages-per-hour"), Recipients: d.number("recipients")}},
		}}})
	}
	if network := d.head["proxy-from"]; network != "" {
		d.server.ProxyFrom = []netip.Prefix{netip.MustParsePrefix(network)}
	}
	if network := d.head["allow"]; network != "" {
		d.server.Allow = []netip.Prefix{netip.MustParsePrefix(network)}
	}
	d.connect()
	return d, steps
}

// limit is a limit of time, far beyond what a dialogue takes unless the file
// says so.
func (d *dialogue) limit(name string) time.Duration {
	if v, err := time.ParseDuration(d.head[name]); err == nil {
		return v
	}
	return 2 * patience
}

func (d *dialogue) number(name string) int {
	n, _ := strconv.Atoi(d.head[name])
	return n
}

func (d *dialogue) token1() string {
	return "token-1" + strings.Repeat("x", max(0, d.number("token-size")-len("token-1")))
}

// provider is the profile the file names, pointed at the file.
func (d *dialogue) provider() *oauth.Provider {
	name := d.head["provider"]
	if name == "" {
		name = "gmail"
	}
	p := oauth.Builtin()[name]
	if p == nil { // one as configured by hand, with every default
		p = &oauth.Provider{Name: name, Mechanism: "XOAUTH2"}
	}
	if m := d.head["mechanism"]; m != "" {
		p.Mechanism = m
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		d.Fatal(err)
	}
	d.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			d.incoming <- c
		}
	}()
	d.port = ln.Addr().(*net.TCPAddr).Port
	here := oauth.Endpoint{Host: "127.0.0.1", Port: d.port, StartTLS: d.head["provider-tls"] == "starttls"}
	p.IMAP, p.POP3, p.SMTP = here, here, here
	if d.head["provider-tls"] == "none" { // a protocol it does not serve
		p.IMAP, p.POP3, p.SMTP = oauth.Endpoint{}, oauth.Endpoint{}, oauth.Endpoint{}
	}
	p.RootCAs = testtls.ClientTLS().RootCAs
	p.TokenURL = d.tokenEndpoint().URL
	p.ClientID = "dialogues"
	return p
}

// tokenEndpoint answers refreshes as the file says under "oauth".
func (d *dialogue) tokenEndpoint() *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.refresh.Add(1)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Connection", "close")
		switch answer := d.head["oauth"]; answer {
		case "":
			fmt.Fprint(w, `{"access_token":"token-2","expires_in":3599,"scope":"https://mail.google.com/","token_type":"Bearer"}`)
		case "500":
			http.Error(w, "<html>oops</html>", 500)
		case "invalid_client":
			w.WriteHeader(401)
			fmt.Fprint(w, `{"error":"invalid_client","error_description":"The OAuth client was deleted."}`)
		default:
			if number, body, ok := strings.Cut(answer, " "); ok {
				status, _ := strconv.Atoi(number)
				w.WriteHeader(status)
				fmt.Fprint(w, body)
				return
			}
			w.WriteHeader(400)
			fmt.Fprintf(w, `{"error":%q,"error_description":"Token has been expired or revoked."}`, answer)
		}
	}))
	d.Cleanup(s.Close)
	if d.head["oauth"] == "unreachable" {
		s.Close()
	}
	return s
}

// vault holds one mailbox with one generated password and, unless the file
// says that it has expired, a fresh token.
func (d *dialogue) vault(p *oauth.Provider, log *zap.Logger) (*tokens.Vault, secret.String) {
	ctx, dir := context.Background(), d.TempDir()
	seal, err := store.LoadSeal("", dir)
	if err != nil {
		d.Fatal(err)
	}
	store, err := store.OpenFiles(dir, seal)
	if err != nil {
		d.Fatal(err)
	}
	v := tokens.NewVault(store, tokens.Settings{
		Providers: map[string]*oauth.Provider{p.Name: p},
		Aliases:   map[string]string{"scanner1": dialogueUser},
	}, log)
	d.Cleanup(func() { v.Close(ctx) })
	token := &oauth.Token{
		Access: secret.String(d.token1()), Refresh: "refresh-1",
		Minted: time.Now(), Expiry: time.Now().Add(time.Hour), Scopes: p.Scopes,
	}
	if d.head["token"] == "expired" {
		token.Minted, token.Expiry = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	}
	if err := v.Connect(ctx, tokens.Connection{Mailbox: dialogueUser, Provider: p.Name, Token: token}); err != nil {
		d.Fatal(err)
	}
	spec := tokens.PasswordSpec{Name: "the program", ReadOnly: d.head["read-only"] == "yes",
		MessagesPerHour: d.number("messages-per-hour"), Recipients: d.number("recipients")}
	if only := d.head["password-for"]; only != "" {
		spec.Protocols = []protocol.Protocol{protocol.Protocol(only)}
	}
	password, err := v.AddPassword(ctx, dialogueUser, spec)
	if err != nil {
		d.Fatal(err)
	}
	if d.head["token"] == "removed" {
		if _, err := v.Remove(ctx, dialogueUser, tokens.Removal{KeepGrant: true, KeepPasswords: true}); err != nil {
			d.Fatal(err)
		}
	}
	return v, password
}

// connect starts the server and the client's leg.
func (d *dialogue) connect() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		d.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		d.server.Serve(ln)
		close(served)
	}()
	d.Cleanup(func() { ln.Close(); <-served })
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		d.Fatal(err)
	}
	d.Cleanup(func() { c.Close() })
	if d.head["security"] == "tls" && d.head["client-tls"] != "none" || d.head["client-tls"] == "first" {
		c = tls.Client(c, testtls.ClientTLS())
	}
	d.legs['c'] = &leg{Conn: c, r: bufio.NewReader(c)}
}
