package oauth

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"authferry/internal/protocol"
	"authferry/tokens/oauth/oauthtest"
)

// TestNothingPrintsKeys: no key or secret is printed, encoded or logged, alone or as
// part of another value.
func TestNothingPrintsKeys(t *testing.T) {
	account, err := LoadServiceAccount([]byte(oauthtest.Downloaded(t, oauthtest.TestKey())))
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := LoadClientCertificate([]byte(oauthtest.CertificateOf(t, oauthtest.TestKey(), time.Now().Add(time.Hour))), []byte(oauthtest.PemOf(t, oauthtest.TestKey())))
	if err != nil {
		t.Fatal(err)
	}
	p := &Provider{
		Name: "x", ServiceAccount: account, Certificate: certificate, TokenCommand: []string{"program", "argument-CANARY"},
		Proxy: &url.URL{Scheme: "http", Host: "proxy:3128", User: url.UserPassword("me", "proxy-CANARY")},
	}
	device := &Device{UserCode: "A", URL: "https://example.com/", code: "device-CANARY", provider: p}
	consent := &Consent{provider: p, state: "state-CANARY", verifier: "verifier-CANARY"}
	asked := call{provider: p, endpoint: "x", form: url.Values{"assertion": {"CANARY"}}, bearer: "CANARY"}
	response := &Response{Status: 200, Body: []byte("CANARY")}
	secrets := []string{"CANARY", fmt.Sprintf("%x", "CANARY"), base64.StdEncoding.EncodeToString([]byte("CANARY"))}
	for _, n := range oauthtest.TestKey().Primes {
		secrets = append(secrets, n.String(), n.Text(16), fmt.Sprintf("%X", n))
	}
	secrets = append(secrets, oauthtest.TestKey().D.String(), oauthtest.TestKey().D.Text(16))
	tells := func(what, text string) {
		t.Helper()
		for _, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Errorf("%s shows a secret: %.300s", what, text)
			}
		}
	}
	for _, v := range []any{
		account, *account, certificate, *certificate, p, *p, device, *device, consent, *consent, asked, &asked, response, *response, []*ServiceAccount{account},
		map[string]*ClientCertificate{"x": certificate}, struct{ S ServiceAccount }{*account}, struct{ s ServiceAccount }{*account},
		struct{ C *ClientCertificate }{certificate}, struct{ Providers map[string]*Provider }{map[string]*Provider{"x": p}}, struct{ P Provider }{*p},
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			tells(fmt.Sprintf("%T with %s", v, verb), fmt.Sprintf(verb, v))
		}
		for name, marshal := range map[string]func(any) ([]byte, error){"JSON": json.Marshal, "XML": xml.Marshal} {
			if b, err := marshal(v); err == nil {
				tells(fmt.Sprintf("%T as %s", v, name), string(b))
			}
		}
		var out bytes.Buffer
		log := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(&out), zap.DebugLevel))
		log.Info("x", zap.Any("v", v), zap.Reflect("r", v))
		log.Sugar().Infow("x", "v", v)
		tells(fmt.Sprintf("%T in the log", v), out.String())
	}
}

// TestEndpoint: each protocol has its own server, and logins are tried over the
// first that is served.
func TestEndpoint(t *testing.T) {
	p := &Provider{IMAP: Endpoint{Host: "imap"}, POP3: Endpoint{Host: "pop3"}, SMTP: Endpoint{Host: "smtp"}}
	for _, of := range protocol.All {
		if got := p.Endpoint(of).Host; got != string(of) {
			t.Errorf("%s: %q", of, got)
		}
	}
	if got := p.Endpoint("ftp"); got != (Endpoint{}) {
		t.Errorf("ftp: %+v", got)
	}
	for _, c := range []struct {
		p    Provider
		want protocol.Protocol
	}{
		{*p, protocol.IMAP},
		{Provider{POP3: p.POP3, SMTP: p.SMTP}, protocol.POP3},
		{Provider{SMTP: p.SMTP}, protocol.SMTP},
		{Provider{}, protocol.IMAP},
	} {
		if got := c.p.FirstProtocol(); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
