package oauth

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"authferry/tokens/oauth/oauthtest"
)

const redirectTo = "http://127.0.0.1:34567"

func newVisit(t testing.TB, p *Provider) *Consent {
	t.Helper()
	c, err := p.NewConsent(redirectTo, me)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestConsentURL(t *testing.T) {
	p := Builtin()["gmail"]
	p.ClientID = "1-a.apps.googleusercontent.com"
	c := newVisit(t, p)
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme+"://"+u.Host+u.Path != "https://accounts.google.com/o/oauth2/v2/auth" {
		t.Fatalf("%s, %v", c.URL, err)
	}
	for name, want := range map[string]string{
		"client_id": "1-a.apps.googleusercontent.com", "redirect_uri": redirectTo, "scope": "https://mail.google.com/",
		"access_type": "offline", "prompt": "consent", "login_hint": me, "response_type": "code", "code_challenge_method": "S256",
	} {
		if got := u.Query().Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if other := newVisit(t, p); other.state == c.state || other.verifier == c.verifier || len(c.state) < 32 || len(c.verifier) < 43 {
		t.Error("state and verifier are not fresh or too short")
	}
	if strings.Contains(c.URL, c.verifier.Reveal()) {
		t.Error("the verifier is in the address")
	}
	p.ClientID = ""
	if _, err := p.NewConsent(redirectTo, me); err == nil || !strings.Contains(err.Error(), "client_id") {
		t.Errorf("without a client: %v", err)
	}
	if _, err := (&Provider{Name: "x", ClientID: "c"}).NewConsent(redirectTo, me); err == nil || !strings.Contains(err.Error(), "auth_url") {
		t.Errorf("without a page: %v", err)
	}
}

// TestFinishAsPasted: the address is read in every form in which people and terminals
// paste it.
func TestFinishAsPasted(t *testing.T) {
	f := oauthtest.NewEndpoint(t)
	f.Scope = "https://mail.google.com/"
	for name, paste := range map[string]func(string) string{
		"as it is":        func(s string) string { return s },
		"with a line end": func(s string) string { return "  " + s + "\r\n" },
		"in quotes":       func(s string) string { return `"` + s + `"` },
		"in brackets":     func(s string) string { return " <" + s + "> " },
		"wrapped":         func(s string) string { return s[:40] + "\n    " + s[40:] },
		"without scheme":  func(s string) string { return strings.TrimPrefix(s, "http://") },
		"only the query":  func(s string) string { return s[strings.Index(s, "?")+1:] },
		"from the mark":   func(s string) string { return s[strings.Index(s, "?"):] },
		"from HTML":       func(s string) string { return strings.ReplaceAll(s, "&", "&amp;") },
		"with a fragment": func(s string) string { return s + "#" },
		"in the fragment": func(s string) string { return strings.Replace(s, "?", "#", 1) },
	} {
		t.Run(name, func(t *testing.T) {
			c := newVisit(t, fakeProvider(f))
			got, err := c.Finish(context.Background(), paste(f.Visit(t, c.URL)))
			if err != nil {
				t.Fatal(err)
			}
			if got.Access.Empty() || got.Refresh.Empty() || !slices.Equal(got.Scopes, []string{"https://mail.google.com/"}) || time.Until(got.RefreshExpiry) < 6*24*time.Hour {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestFinishRefuses(t *testing.T) {
	f := oauthtest.NewEndpoint(t)
	p := fakeProvider(f)
	p.Issuer = "https://accounts.example.com"
	for name, c := range map[string]struct {
		paste func(state, whole string) string
		says  string
	}{
		"nothing":            {func(_, _ string) string { return "" }, "is not the address"},
		"something else":     {func(_, _ string) string { return "https://example.com/" }, "is not the address"},
		"the code alone":     {func(_, _ string) string { return "4/code-CANARY" }, "is not the address"},
		"bad escapes":        {func(s, _ string) string { return "?state=" + s + "&code=%zz" }, "is not the address"},
		"a flood":            {func(s, _ string) string { return "?state=" + s + strings.Repeat("x", maxRedirect) }, "is not the address"},
		"another state":      {func(_, w string) string { return strings.Replace(w, "state=", "state=x", 1) }, "another sign-in"},
		"no state":           {func(_, w string) string { return strings.Replace(w, "state=", "stat=", 1) }, "another sign-in"},
		"an error, no state": {func(_, _ string) string { return "?error=access_denied" }, "another sign-in"},
		"no code":            {func(s, _ string) string { return "?state=" + s }, "no code"},
		"another issuer":     {func(_, w string) string { return w + "&iss=https://evil.example" }, "RFC 9207"},
		"no":                 {func(s, _ string) string { return "?error=access_denied&state=" + s }, "test users"},
		"policy":             {func(s, _ string) string { return "?error=admin_policy_enforced&state=" + s }, "administrator"},
		"internal":           {func(s, _ string) string { return "?error=org_internal&state=" + s }, "Internal"},
		"redirect":           {func(s, _ string) string { return "?error=redirect_uri_mismatch&state=" + s }, "Desktop app"},
		"a new error":        {func(s, _ string) string { return "?error=new%0Aerror&error_description=oh%1B&state=" + s }, `"new\nerror" "oh\x1b"`},
		"a code not given":   {func(s, _ string) string { return "?code=4/CANARY&state=" + s }, "valid once"},
	} {
		t.Run(name, func(t *testing.T) {
			visit := newVisit(t, p)
			whole := f.Visit(t, visit.URL)
			pasted := c.paste(visit.state.Reveal(), whole)
			_, err := visit.Finish(context.Background(), pasted)
			if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "CANARY") || strings.ContainsAny(err.Error(), "\n\x1b") {
				t.Errorf("%v; want %q", err, c.says)
			}
			// What was wrong does not spoil the visit.
			if _, err := visit.Finish(context.Background(), whole+"&iss="+p.Issuer); err != nil {
				t.Errorf("the right address afterwards: %v", err)
			}
			if _, err := visit.Finish(context.Background(), whole); err == nil {
				t.Error("a code is good twice")
			}
		})
	}
}

func TestFinishClassifies(t *testing.T) {
	f := oauthtest.NewEndpoint(t)
	for body, want := range map[string]error{`{"error":"invalid_client"}`: ErrRefused, `<html>`: ErrUnavailable, `{"error":"redirect_uri_mismatch"}`: ErrRefused} {
		c := newVisit(t, fakeProvider(f))
		f.Answers(400, body)
		if _, err := c.Finish(context.Background(), f.Visit(t, c.URL)); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", body, err, want)
		}
	}
}

func FuzzFinish(f *testing.F) {
	for _, s := range []string{
		"http://127.0.0.1:1/?state=s&code=c", "127.0.0.1:1/?code=c&state=s", "?code=c", "state=s", `"<http://h/?state=s&amp;error=e>"`,
		"http://h/#state=s&code=c", "??##", "%", "code", "&&=;", "\x00\xff?state=\xff",
	} {
		f.Add(s)
	}
	p := &Provider{Name: "x", AuthURL: "http://127.0.0.1:1/", TokenURL: "http://127.0.0.1:1/", ClientID: "c"}
	c := newVisit(f, p)
	// A context that has ended: an accepted address makes no call.
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	f.Fuzz(func(t *testing.T, pasted string) {
		token, err := c.Finish(ctx, pasted)
		if err == nil {
			t.Fatalf("%q brings %+v", pasted, token)
		}
		if strings.ContainsAny(err.Error(), "\r\n\x00\x1b") || len(err.Error()) > 2000 {
			t.Errorf("%q from %q", err, pasted)
		}
		if strings.Contains(err.Error(), "exchanging") && !strings.Contains(pasted, c.state.Reveal()[:4]) {
			t.Errorf("%q passes without the state", pasted)
		}
	})
}
