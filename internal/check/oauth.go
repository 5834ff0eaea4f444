package check

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"authferry/tokens/oauth"
)

const (
	// mostSkew is how wrong a clock may be. The Date of an answer is exact to a
	// second; Google refuses assertions from clocks a few minutes off.
	mostSkew = time.Minute
	// maxAnswer bounds what is read of an endpoint's answer.
	maxAnswer = 64 << 10
	// noToken is asked to be refreshed: an endpoint that says it is none has
	// looked at the client first (RFC 6749 §3.2.1) and found it good. It stands
	// for no grant, so none is used up.
	noToken = "authferry-check-this-is-no-token"
)

// tokens checks the way to the token endpoint.
func (p *place) tokens(ctx context.Context, l *list) {
	names := []string{"token dns", "token tcp", "token tls", "clock", "client"}
	if p.provider.TokenURL == "" {
		l.skip(ctx, "the provider has no token endpoint", names...)
		return
	}
	u, err := url.Parse(p.provider.TokenURL)
	if err != nil || u.Hostname() == "" {
		l.step(ctx, names[0], func() finding { return failed("write an address as token_url", "token_url is not an address") })
		p.breaks(p.provider.Name, "token", names[0])
		l.skip(ctx, "the step "+names[0]+" failed", names[1:]...)
		return
	}
	through, err := p.proxy(&http.Request{URL: u})
	if err != nil {
		through = nil // the request itself will tell
	}
	host, port, via := firstHop(through, u.Hostname(), portOf(u))
	var answer *http.Response
	for i, do := range []func() finding{
		func() finding { return hop(p.resolve(ctx, host), via) },
		func() finding { return hop(p.connect(ctx, host, port), via) },
		func() (f finding) { answer, f = p.greetEndpoint(ctx, u); return f },
		func() finding { return clock(answer, time.Now()) },
		func() finding { return p.client(ctx, l) },
	} {
		if at := p.brokenAt(p.provider.Name, "token"); at != "" {
			l.skip(ctx, "the step "+at+" failed", names[i])
		} else if l.step(ctx, names[i], do); len(l.failed) > 0 && i < 3 {
			p.breaks(p.provider.Name, "token", names[i])
		}
	}
}

// proxy is what requests to the provider go through.
func (p *place) proxy(r *http.Request) (*url.URL, error) {
	if p.provider.Proxy != nil {
		return p.provider.Proxy, nil
	}
	return http.ProxyFromEnvironment(r)
}

// patience is how long a call may take.
func (p *place) patience() time.Duration {
	if p.provider.Timeout > 0 {
		return p.provider.Timeout
	}
	return oauth.RefreshTimeout
}

// call makes one request to the token endpoint and reads the answer.
func (p *place) call(ctx context.Context, method string, u *url.URL, form url.Values) (*http.Response, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, p.patience())
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, u.String(), strings.NewReader(form.Encode()))
	if err != nil {
		return nil, nil, err
	}
	request.Header.Set("Accept", "application/json")
	if method == http.MethodPost {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	client := &http.Client{
		Transport: &http.Transport{
			Proxy:                  p.proxy,
			TLSClientConfig:        &tls.Config{RootCAs: p.provider.RootCAs, MinVersion: tls.VersionTLS12},
			DisableKeepAlives:      true,
			MaxResponseHeaderBytes: maxAnswer,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := client.Do(request)
	if wrapped := (*url.Error)(nil); errors.As(err, &wrapped) {
		err = wrapped.Err // method and URL are in our sentence already
	}
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	return response, body, err
}

// greetEndpoint gets any answer from the token endpoint: even a refusal of the
// method has a certificate and a Date.
func (p *place) greetEndpoint(ctx context.Context, u *url.URL) (*http.Response, finding) {
	response, _, err := p.call(ctx, http.MethodGet, u, nil)
	switch {
	case err != nil && isTimeout(err):
		return nil, failed("try again; if it stays, look for a firewall or a proxy on the way", "no answer from %s within %s", u.Host, p.patience())
	case err != nil:
		return nil, tlsFailure(err, p.provider.Name, u.Hostname(), u.Host)
	case response.TLS == nil:
		return response, skipped("%s is on this machine, without TLS", u.Host)
	}
	return response, fine("%s", vouched(*response.TLS))
}

// clock compares the time of an answer with ours.
func clock(answer *http.Response, now time.Time) finding {
	if answer == nil {
		return skipped("there was no answer to compare with")
	}
	date, err := http.ParseTime(answer.Header.Get("Date"))
	if err != nil {
		return skipped("the answer of the token endpoint has no Date to compare with")
	}
	skew, way := now.Sub(date), "ahead of"
	if skew < 0 {
		skew, way = -skew, "behind"
	}
	if skew > mostSkew {
		return failed("set the clock of this machine, and keep it right by NTP: timedatectl set-ntp true",
			"this machine's clock is %s %s the provider's: TLS and signed requests fail by that", skew.Round(time.Second), way)
	}
	return fine("within a minute of the provider's")
}

// client asks whether the provider knows the OAuth client, at the price of no
// grant: see noToken.
func (p *place) client(ctx context.Context, l *list) finding {
	if c := p.provider.Certificate; c != nil {
		if !c.Expires.IsZero() && time.Until(c.Expires) < soon {
			return failed(fmt.Sprintf("make a new certificate, register it at the provider and name it in [provider.%s]", p.provider.Name),
				"the client's certificate ends on %s", c.Expires.Local().Format("2006-01-02 15:04"))
		}
		return skipped("with a certificate each refresh tells")
	}
	if p.provider.Flow != "" && p.provider.Flow != oauth.FlowConsent && p.provider.Flow != oauth.FlowDeviceCode {
		return skipped("with %s each refresh tells", p.provider.Flow)
	}
	if p.provider.ClientID == "" {
		return failed("make an OAuth client at the provider and name it as client_id", "no client_id is configured")
	}
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {noToken}, "client_id": {p.provider.ClientID}}
	if !p.provider.ClientSecret.Empty() {
		form.Set("client_secret", p.provider.ClientSecret.Reveal())
	}
	u, err := url.Parse(p.provider.TokenURL)
	if err != nil {
		return failed("write an address as token_url", "token_url is not an address")
	}
	response, body, err := p.call(ctx, http.MethodPost, u, form)
	if err != nil {
		return failed("try again; if it stays, look for a firewall or a proxy on the way", "the token endpoint at %s gave no whole answer: %v", u.Host, err)
	}
	return p.judgeClient(response.StatusCode, body, l.secrets)
}

// judgeClient tells what an answer to the refresh of no token says of the client.
func (p *place) judgeClient(status int, body []byte, told secrets) finding {
	var answer struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
		// AADSTS numbers, at Microsoft.
		Codes []int `json:"error_codes"`
	}
	if json.Unmarshal(body, &answer) != nil || answer.Error == "" {
		return failed("try again later; if it stays, look whether a captive portal or a proxy answers in the provider's place",
			"the token endpoint answered %d without an OAuth error in JSON", status)
	}
	said := fmt.Sprintf("the token endpoint answered %d %s", status, told.said(strings.TrimSpace(answer.Error+": "+answer.Description)))
	cause, known := clientCauses[answer.Error]
	switch {
	case status >= 500 || status == http.StatusTooManyRequests:
		return failed("wait: the provider has trouble or wants fewer calls, and authferry tries again by itself", "%s", said)
	case known:
		advice := cause.Advice("MAILBOX", p.provider)
		return failed(advice.Fix, "%s: %s", advice.Words, said).at(advice.Page)
	case answer.Error == "invalid_grant" && len(answer.Codes) == 0:
		return fine("%s is known to the provider", p.provider.ClientID)
	}
	// Microsoft looks at the token first, and says so by its number.
	return skipped("the provider does not tell without a grant; each refresh does")
}

// clientCauses are the errors that are about the client.
var clientCauses = map[string]oauth.Cause{
	"invalid_client":      oauth.CauseClient,
	"unauthorized_client": oauth.CauseClient,
	"deleted_client":      oauth.CauseClientDeleted,
}
