package demo

import (
	"bufio"
	"context"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/oauth2"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const alice, bob = "alice@gmail.com", "bob@gmail.com"

// What Gmail says, written again: a test must notice a change.
const (
	gmailScope     = "https://mail.google.com/"
	sentFolder     = "[Gmail]/Sent Mail"
	imapCapsServed = "IMAP4rev1 UNSELECT IDLE NAMESPACE ID CHILDREN UIDPLUS ENABLE MOVE ESEARCH UTF8=ACCEPT LIST-EXTENDED LIST-STATUS LITERAL- SPECIAL-USE APPENDLIMIT=35651584"
	smtpSize       = 35882577
	imapLineLimit  = 64 << 10

	grantJWTBearer      = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	grantDeviceCode     = "urn:ietf:params:oauth:grant-type:device_code"
	clientAssertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	serviceTokenLength  = 1024
)

var (
	xoauth2Challenge     = base64.StdEncoding.EncodeToString([]byte(`{"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"}`))
	oauthBearerChallenge = base64.StdEncoding.EncodeToString([]byte(`{"status":"invalid_request","scope":"https://mail.google.com/"}`))
)

// readKey reads a private key that the provider gives out.
func readKey(t *testing.T, keyPEM []byte) *rsa.PrivateKey {
	t.Helper()
	block, _ := pem.Decode(keyPEM)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return key.(*rsa.PrivateKey)
}

// start starts a simulation that ends with the test.
func start(t *testing.T, o Options) *Provider {
	t.Helper()
	if o.Mailboxes == nil {
		o.Mailboxes = []string{alice, bob}
	}
	o.Log = func(line string) { t.Log(line) }
	p, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// config is what an OAuth library needs to know of the provider.
func config(p *Provider) *oauth2.Config {
	return &oauth2.Config{
		ClientID:     p.ClientID,
		ClientSecret: p.ClientSecret,
		Scopes:       []string{p.Scope},
		RedirectURL:  "http://127.0.0.1:1/",
		Endpoint:     oauth2.Endpoint{AuthURL: p.AuthURL, TokenURL: p.TokenURL, AuthStyle: oauth2.AuthStyleInParams},
	}
}

// connect gives consent as a mailbox and returns its tokens.
func connect(t *testing.T, p *Provider, mailbox string) *oauth2.Token {
	t.Helper()
	verifier := oauth2.GenerateVerifier()
	redirected, err := p.Consent(config(p).AuthCodeURL("xyz", oauth2.S256ChallengeOption(verifier)), mailbox)
	if err != nil {
		t.Fatal(err)
	}
	tok, err := config(p).Exchange(web(t), query(t, redirected).Get("code"), oauth2.VerifierOption(verifier))
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func xoauth2(user, token string) string {
	return base64.StdEncoding.EncodeToString([]byte("user=" + user + "\x01auth=Bearer " + token + "\x01\x01"))
}

func oauthBearer(user, token string) string {
	return base64.StdEncoding.EncodeToString([]byte("n,a=" + user + ",\x01host=localhost\x01port=993\x01auth=Bearer " + token + "\x01\x01"))
}

// peer is a client by hand.
type peer struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
}

func dial(t *testing.T, p *Provider, address string) *peer {
	t.Helper()
	c, err := (&tls.Dialer{Config: &tls.Config{RootCAs: p.CAs}}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return newPeer(t, c)
}

func newPeer(t *testing.T, c net.Conn) *peer {
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return &peer{t, c, bufio.NewReader(c)}
}

// talk runs a dialogue: "C: " lines are sent, "S: " lines must come. In the
// latter <ip>, <id> and <*> stand for an address, a session id and anything.
func (c *peer) talk(dialogue string, args ...any) {
	c.t.Helper()
	for line := range strings.Lines(fmt.Sprintf(strings.TrimSpace(dialogue), args...)) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		who, text, _ := strings.Cut(strings.TrimRight(strings.TrimLeft(line, "\t"), "\n"), ":")
		text = strings.TrimPrefix(text, " ")
		switch who {
		case "C":
			c.send(text + "\r\n")
		case "S":
			c.expect(text)
		default:
			c.t.Fatalf("who says %q?", line)
		}
	}
}

func (c *peer) send(s string) {
	c.t.Helper()
	if _, err := c.Write([]byte(s)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *peer) expect(want string) string {
	c.t.Helper()
	got, err := c.r.ReadString('\n')
	if err != nil {
		c.t.Fatalf("waiting for %q: %q, %v", want, got, err)
	}
	pattern := regexp.QuoteMeta(want)
	pattern = strings.ReplaceAll(pattern, "<ip>", `127\.0\.0\.1`)
	pattern = strings.ReplaceAll(pattern, "<id>", `[-a-z0-9.]+`)
	pattern = strings.ReplaceAll(pattern, `<\*>`, `.*`)
	if !regexp.MustCompile("^" + pattern + "\r\n$").MatchString(got) {
		c.t.Fatalf("got  %q\nwant %q", got, want)
	}
	return got
}

// expectEnd checks that the other side has closed and said nothing more.
func (c *peer) expectEnd() {
	c.t.Helper()
	if b, err := c.r.ReadByte(); err == nil {
		rest, _ := c.r.ReadString('\n')
		c.t.Fatalf("still talking: %q", string(b)+rest)
	} else if e, ok := err.(net.Error); ok && e.Timeout() {
		c.t.Fatal("still connected")
	}
}

// browser keeps no connection: none may outlive its test.
var browser = &http.Client{
	Transport:     &http.Transport{DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Timeout:       20 * time.Second,
}

func query(t *testing.T, address string) url.Values {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query()
}

func web(t *testing.T) context.Context {
	return context.WithValue(t.Context(), oauth2.HTTPClient, browser)
}
