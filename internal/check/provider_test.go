package check

import (
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"authferry/demo"
	"authferry/tokens"
	"authferry/tokens/oauth"
)

func TestClock(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		date  string
		want  Result
		words string
	}{
		{now.Format(http.TimeFormat), OK, "within a minute"},
		{now.Add(59 * time.Second).Format(http.TimeFormat), OK, "within"},
		{now.Add(-59 * time.Second).Format(http.TimeFormat), OK, "within"},
		{now.Add(61 * time.Second).Format(http.TimeFormat), Fail, "1m1s behind"},
		{now.Add(-3 * time.Hour).Format(http.TimeFormat), Fail, "3h0m0s ahead"},
		{"", Skip, "no Date"},
		{"yesterday", Skip, "no Date"},
	} {
		f := clock(&oauth.Response{Header: http.Header{"Date": {test.date}}}, now)
		if f.result != test.want || !strings.Contains(f.detail, test.words) {
			t.Errorf("Date %q: %+v", test.date, f)
		}
	}
}

func TestJudgeClient(t *testing.T) {
	t.Parallel()
	p := oauth.Builtin()["gmail"]
	p.ClientID = "mine"
	for _, test := range []struct {
		status int
		body   string
		want   Result
	}{
		{400, `{"error":"invalid_grant","error_description":"Bad Request"}`, OK},
		{401, `{"error":"invalid_client","error_description":"The OAuth client was not found."}`, Fail},
		{401, `{"error":"deleted_client"}`, Fail},
		{400, `{"error":"unauthorized_client","error_codes":[700016]}`, Fail},
		// Microsoft: the token is malformed, for any client.
		{400, `{"error":"invalid_grant","error_codes":[9002313]}`, Skip},
		{400, `{"error":"invalid_request"}`, Skip},
		{429, `{"error":"rate_limit_exceeded"}`, Fail},
		{503, `{"error":"invalid_client"}`, Fail},
		{200, `<!DOCTYPE html>`, Fail},
		{200, ``, Fail},
		{200, `{"access_token":"x"}`, Fail},
		{400, `{"error":{"status":"x"}}`, Fail},
	} {
		f := judgeClient(p, test.status, []byte(test.body), noSecrets)
		if f.result != test.want || (f.result == Fail) != (f.fix != "") || f.detail == "" {
			t.Errorf("%d %s: %+v", test.status, test.body, f)
		}
	}
}

// TestTokenFaults: faults of the token endpoint fail its steps, and no grant is lost.
func TestTokenFaults(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		fault demo.TokenAnswer
		want  []string
	}{
		// This response implies that the endpoint knows the client.
		{demo.TokenInvalidGrant, []string{me + " refresh", me + " grant"}},
		{demo.TokenInvalidCli, []string{"client", me + " refresh"}},
		{demo.Token500, []string{"client", me + " refresh"}},
		{demo.Token429, []string{"client", me + " refresh"}},
		{demo.TokenHTML, []string{"client", me + " refresh"}},
		{demo.TokenDeletedClient, []string{"client", me + " refresh"}},
		{demo.TokenUnauthorizedCli, []string{"client", me + " refresh"}},
		{demo.Token503HTML, []string{"client", me + " refresh"}},
		{demo.TokenEmpty, []string{"client", me + " refresh"}},
		{demo.TokenInvalidRAPT, []string{me + " refresh", me + " grant"}},
	} {
		t.Run(string(test.fault), func(t *testing.T) {
			t.Parallel()
			c := newFixture(t, demo.Options{}, me)
			c.gmail.Faults.Token(test.fault)
			r := c.check()
			r.onlyFailures(test.want...)
			r.want(me, "imap login", OK) // with the stored token
			if test.fault == demo.TokenInvalidGrant {
				r.want(me, "refresh", Fail, "authferry connect "+me)
				r.want(me, "grant", Fail, "needed now")
			}
			vault, err := c.open()
			if err != nil {
				t.Fatal(err)
			}
			if a, err := vault.Account(t.Context(), me); err != nil || a.Token.Refresh.Empty() {
				t.Errorf("the grant is lost: %v", err)
			}
		})
	}
}

// TestRotation: the refresh token that a check receives is stored.
func TestRotation(t *testing.T) {
	t.Parallel()
	c := newFixture(t, demo.Options{}, me)
	c.gmail.Faults.Rotate(true)
	for range 3 {
		c.check().onlyFailures()
	}
}

func TestTokenEndpointTLS(t *testing.T) {
	t.Parallel()
	c := newFixture(t, demo.Options{}, me)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat))
		w.WriteHeader(http.StatusBadRequest)
		w.Write([]byte(`{"error":"invalid_grant"}`))
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	c.provider.TokenURL = server.URL
	r := c.check()
	r.want("", "token tls", Fail, "intercepts TLS", `"Acme Co`, "ca_file")
	r.want("", "client", Skip, "the step token tls failed")
	r.want(me, "refresh", Skip, "the step token tls failed")

	c.provider.RootCAs = c.gmail.CAs.Clone()
	c.provider.RootCAs.AddCert(server.Certificate())
	r = c.check()
	r.want("", "token tls", OK, `signed by "Acme Co`)
	r.want("", "clock", Fail, "ahead", "NTP")
	r.want("", "client", OK)
}

// TestProxy: the first hop is the proxy, and the other steps are unchanged.
func TestProxy(t *testing.T) {
	t.Parallel()
	c := newFixture(t, demo.Options{}, me)
	var tunnels, forbidden atomic.Int32
	forward := &httputil.ReverseProxy{Rewrite: func(*httputil.ProxyRequest) {}} // to the URL it has
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method != http.MethodConnect:
			forward.ServeHTTP(w, r)
		case forbidden.Load() > 0:
			http.Error(w, "not to there", http.StatusForbidden)
		default:
			tunnels.Add(1)
			tunnel(t, w, r.Host)
		}
	}))
	defer server.Close()
	through, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	c.provider.Proxy = through
	r := c.check()
	r.onlyFailures()
	r.want("", "imap tcp", OK, "by way of a proxy: connected to "+through.Host)
	r.want("", "token tcp", OK, "by way of a proxy: connected to "+through.Host)
	if n := tunnels.Load(); n != 7 { // TLS of three, the extensions, three logins
		t.Errorf("%d connections through the proxy", n)
	}
	forbidden.Store(1)
	r = c.check()
	r.onlyFailures("imap tls", "pop3 tls", "smtp tls")
	r.want("", "imap tls", Fail, "through the proxy", "allow this machine, and the proxy of [provider.gmail]")

	e := shut(t)
	c.provider.Proxy = &url.URL{Scheme: "http", Host: net.JoinHostPort(e.Host, strconv.Itoa(e.Port))}
	r = c.check()
	r.onlyFailures("imap tcp", "pop3 tcp", "smtp tcp", "token tcp")
	r.want("", "token dns", OK, "by way of a proxy: 127.0.0.1")
	r.want("", "imap tcp", Fail, "by way of a proxy: connecting to")
}

// tunnel answers a CONNECT.
func tunnel(t *testing.T, w http.ResponseWriter, target string) {
	far, err := net.Dial("tcp", target)
	if err != nil {
		t.Error(err)
		return
	}
	defer far.Close()
	near, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		t.Error(err)
		return
	}
	defer near.Close()
	if _, err := io.WriteString(near, "HTTP/1.1 200 go on\r\n\r\n"); err != nil {
		t.Error(err)
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		io.Copy(far, near)
		far.Close()
	}()
	io.Copy(near, far)
	near.Close()
	<-done
}

func TestWrongClock(t *testing.T) {
	t.Parallel()
	c := newFixture(t, demo.Options{}, me)
	c.gmail.Faults.Clock(-2 * time.Hour)
	r := c.check()
	r.onlyFailures("clock")
	r.want("", "clock", Fail, "ahead of the provider's", "NTP")
	c.gmail.Faults.Clock(2 * time.Hour)
	c.check().want("", "clock", Fail, "behind the provider's")
}

// TestServiceAccount: without a sign-in, each refresh tests the client.
func TestServiceAccount(t *testing.T) {
	t.Parallel()
	c := newFixture(t, demo.Options{})
	account, err := oauth.LoadServiceAccount(c.gmail.ServiceAccountJSON())
	if err != nil {
		t.Fatal(err)
	}
	c.provider.Flow, c.provider.ServiceAccount = oauth.FlowServiceAccount, account
	c.provider.ClientID, c.provider.ClientSecret = "", ""
	vault, err := c.open()
	if err != nil {
		t.Fatal(err)
	}
	if err := vault.Connect(t.Context(), tokens.Connection{Mailbox: me, Provider: "gmail"}); err != nil {
		t.Fatal(err)
	}
	r := c.check()
	r.onlyFailures()
	r.want("", "client", Skip, "each refresh tells")
	r.want(me, "imap login", OK)
	r.want(me, "grant", OK, "no one has to sign in")

	c.gmail.Faults.NoDelegation(true)
	r = c.check()
	r.onlyFailures(me + " refresh")
	r.want(me, "imap login", OK) // with the stored token
	r.want(me, "grant", Skip)
}

// TestCertificateEnds: a client certificate that expires soon is a failure.
func TestCertificateEnds(t *testing.T) {
	t.Parallel()
	p := &providerCheck{provider: oauth.Builtin()["microsoft"]}
	p.provider.Flow = oauth.FlowClientCredentials
	for left, want := range map[time.Duration]Result{47 * time.Hour: Fail, 90 * 24 * time.Hour: Skip} {
		p.provider.Certificate = &oauth.ClientCertificate{Expires: time.Now().Add(left)}
		if f := p.client(t.Context(), nil, noSecrets); f.result != want {
			t.Errorf("with %s left: %+v", left, f)
		}
	}
}
