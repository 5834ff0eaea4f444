package oauth

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"authferry/internal/printable"
	"authferry/internal/secret"
)

// The call to the token endpoint is ours and not golang.org/x/oauth2's, which
// builds the consent URL: there, "expires_in": 3599.0 fails to parse, a missing
// one means for ever, JSON sent as text/plain is read as a form, up to a
// megabyte is read, and an error's text is the whole body of the answer, and
// a body may repeat the token it was asked about.

// maxAnswer bounds what is read of an endpoint's answer.
const maxAnswer = 64 << 10

// maxRetryAfter bounds how long an endpoint may send us away.
const maxRetryAfter = time.Hour

// endpointError is a token endpoint that did not give a token.
type EndpointError struct {
	Kind       error  // ErrNeedsConsent, ErrRefused or ErrUnavailable
	code       string // the OAuth error code, if there was one
	why        Cause  // as far as the answer tells
	reason     string // for people; never contains a token
	RetryAfter time.Duration
	cause      error // of the network, if that was it
}

func (e *EndpointError) Error() string { return e.reason }
func (e *EndpointError) Unwrap() []error {
	if e.cause != nil {
		return []error{e.Kind, e.cause}
	}
	return []error{e.Kind}
}

// httpClient returns a client for one call. Calls are rare (a few an hour and
// mailbox), so it keeps no connection, which would be a goroutine to look after.
func (p *Provider) httpClient() *http.Client {
	through := http.ProxyFromEnvironment
	if p.Proxy != nil {
		through = http.ProxyURL(p.Proxy)
	}
	return &http.Client{
		Transport: &http.Transport{
			Proxy:             through,
			TLSClientConfig:   &tls.Config{RootCAs: p.RootCAs, MinVersion: tls.VersionTLS12},
			DisableKeepAlives: true,
			// The headers count too.
			MaxResponseHeaderBytes: maxAnswer,
		},
		// A redirect would carry the secrets elsewhere; token endpoints have
		// none, captive portals do.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// call is one request to a provider's OAuth service. Every one there is goes
// through [Provider.send], which has the limits.
type call struct {
	what    string // in errors: "the token endpoint"
	key     string // of the configuration, where address comes from
	address string
	form    url.Values    // posted; nil: a GET
	bearer  secret.String // the access token it is made with, if any
}

// reply is what came of a call.
type reply struct {
	host   string
	status int
	header http.Header
	body   []byte
}

// secretParameters are the fields of forms that errors must not repeat, though
// the peer may.
var secretParameters = []string{
	"client_secret", "client_assertion", "assertion", "refresh_token", "code", "code_verifier", "device_code", "token",
}

// told is what the peer of a call knows and may repeat.
func (p *Provider) told(c call) []secret.String {
	told := []secret.String{c.bearer, p.ClientSecret}
	for _, name := range secretParameters {
		told = append(told, secret.String(c.form.Get(name)))
	}
	if p.Proxy != nil {
		password, _ := p.Proxy.User.Password()
		told = append(told, secret.String(password))
	}
	return told
}

// send makes a call and reads the whole answer, whatever it is.
func (p *Provider) send(ctx context.Context, c call) (*reply, error) {
	ctx, cancel := context.WithTimeout(ctx, p.CallTimeout())
	defer cancel()
	method := http.MethodGet
	if c.form != nil {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(ctx, method, c.address, strings.NewReader(c.form.Encode()))
	if err != nil || !confidential(req.URL) {
		return nil, &EndpointError{Kind: ErrRefused, reason: fmt.Sprintf("the %s %s is not an https:// address", c.key, printable.Quote(c.address))}
	}
	if c.form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if !c.bearer.Empty() {
		req.Header.Set("Authorization", "Bearer "+c.bearer.Reveal())
	}
	req.Header.Set("Accept", "application/json")

	resp, err := p.httpClient().Do(req)
	if err != nil {
		return nil, p.unreachable(c, req.URL, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, p.unreachable(c, req.URL, err)
	}
	return &reply{host: req.URL.Host, status: resp.StatusCode, header: resp.Header, body: body}, nil
}

// authenticate adds who the client is to a form, and the proof (RFC 6749
// §2.3.1): in the body, since Google takes no other way, and trying both would
// send each failing refresh twice. A certificate goes before a secret.
func (p *Provider) authenticate(form url.Values, now time.Time) error {
	if p.ClientID != "" {
		form.Set("client_id", p.ClientID)
	}
	switch {
	case p.Certificate != nil:
		assertion, err := p.Certificate.assertion(p, now)
		if err != nil {
			return err
		}
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		form.Set("client_assertion", assertion.Reveal())
	case !p.ClientSecret.Empty():
		form.Set("client_secret", p.ClientSecret.Reveal())
	}
	return nil
}

// ask makes one call to the token endpoint, as the client. form holds the
// grant. The token's life is counted from now, before the call: it may be slow.
func (p *Provider) ask(ctx context.Context, form url.Values, now time.Time) (*Token, error) {
	if err := p.authenticate(form, now); err != nil {
		return nil, err
	}
	return p.askAs(ctx, form, now)
}

// askAs is ask with a form that says itself who asks.
func (p *Provider) askAs(ctx context.Context, form url.Values, now time.Time) (*Token, error) {
	c := call{what: "the token endpoint", key: "token_url", address: p.TokenURL, form: form}
	r, err := p.send(ctx, c)
	if err != nil {
		return nil, err
	}
	t, err := readAnswer(r.status, r.body, now.UTC().Round(0), p.told(c))
	if e := (*EndpointError)(nil); errors.As(err, &e) {
		e.at(c, r)
		if form.Has("assertion") || form.Has("client_assertion") {
			e.reason += clockWords(r.header.Get("Date"), now)
		}
		return nil, err
	}
	if err != nil {
		return nil, err
	}
	t.Owner = idTokenOwner(r.body)
	return t, nil
}

// at completes the error of an answer, whose reason continues the name of the
// endpoint.
func (e *EndpointError) at(c call, r *reply) *EndpointError {
	e.reason = fmt.Sprintf("%s at %s %s", c.what, r.host, e.reason)
	e.RetryAfter = retryAfter(r.header.Get("Retry-After"), time.Now())
	return e
}

// clockWords say that this machine's clock is wrong, if it is, by the Date
// (RFC 9110 §6.6.1) of the answer to an assertion: those are good for a time
// that the two clocks must agree about.
func clockWords(date string, now time.Time) string {
	theirs, err := http.ParseTime(date)
	if err != nil {
		return ""
	}
	ahead := now.Sub(theirs).Round(time.Second)
	switch {
	case ahead > ClockSkew:
		return fmt.Sprintf("; this machine's clock is %s ahead of the endpoint's: set it", ahead)
	case ahead < -ClockSkew:
		return fmt.Sprintf("; this machine's clock is %s behind the endpoint's: set it", -ahead)
	}
	return ""
}

// confidential tells whether secrets may be sent to a URL: over TLS, or to
// this machine.
func confidential(u *url.URL) bool {
	host := u.Hostname()
	return u.Scheme == "https" || u.Scheme == "http" && (host == "localhost" || net.ParseIP(host).IsLoopback())
}

// unreachable is a call that brought no answer.
func (p *Provider) unreachable(c call, u *url.URL, err error) error {
	// *url.Error repeats method and URL, which the sentence has already.
	if wrapped := (*url.Error)(nil); errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	words, hint := secret.Scrub(err.Error(), p.told(c)...), ""
	if errors.Is(err, context.DeadlineExceeded) {
		words = fmt.Sprintf("no answer within %s", p.CallTimeout())
	}
	if unknown := (x509.UnknownAuthorityError{}); errors.As(err, &unknown) {
		hint = "; if its certificate is from an authority of your own, name it in ca_file"
	}
	if p.Proxy != nil {
		hint += "; the way there is the proxy " + printable.Quote(p.Proxy.Host)
	}
	return &EndpointError{
		Kind: ErrUnavailable, cause: err,
		reason: fmt.Sprintf("%s at %s cannot be reached: %s%s", c.what, u.Host, words, hint),
	}
}

// retryAfter reads the header of RFC 9110 §10.2.3, in seconds or as a date.
func retryAfter(header string, now time.Time) time.Duration {
	wait := time.Duration(0)
	if seconds, err := strconv.Atoi(strings.TrimSpace(header)); err == nil {
		wait = time.Duration(min(max(seconds, 0), int(maxRetryAfter/time.Second))) * time.Second
	} else if date, err := http.ParseTime(header); err == nil {
		wait = date.Sub(now)
	}
	return min(max(wait, 0), maxRetryAfter)
}

func (c call) Format(f fmt.State, _ rune) { io.WriteString(f, "call to "+c.what) }
