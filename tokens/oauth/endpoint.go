package oauth

import (
	"context"
	"crypto/tls"
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
	"authferry/internal/tlserror"
)

// Calls to the token endpoint do not use golang.org/x/oauth2, which builds the
// consent URL. There "expires_in": 3599.0 fails to parse, a missing expires_in means
// for ever, JSON sent as text/plain is read as a form, a response may have a
// megabyte, and the text of an error is the whole body, which may repeat the token.

// maxResponse bounds what is read of a response.
const maxResponse = 64 << 10

// maxRetryAfter bounds the wait that an endpoint may ask for.
const maxRetryAfter = time.Hour

// EndpointError is an OAuth endpoint, or a token_command, that failed.
type EndpointError struct {
	Kind       error  // ErrNeedsConsent, ErrRefused or ErrUnavailable
	code       string // the OAuth error code, if there is one
	cause      Cause  // as far as the response says
	reason     string // for people; never contains a token
	RetryAfter time.Duration
	err        error // of the network or the context, if that failed
}

func (e *EndpointError) Error() string { return e.reason }
func (e *EndpointError) Unwrap() []error {
	if e.err != nil {
		return []error{e.Kind, e.err}
	}
	return []error{e.Kind}
}

// Cause returns the cause of a failed call. Without a response it is the network.
func (e *EndpointError) Cause() Cause {
	if e.cause == CauseUnknown && e.Kind == ErrUnavailable && e.err != nil {
		return CauseUnreachable
	}
	return e.cause
}

// at completes the error of a response, whose reason continues the name of the
// endpoint.
func (e *EndpointError) at(c call, r *Response) *EndpointError {
	e.reason = fmt.Sprintf("%s at %s %s", c.endpoint, r.host, e.reason)
	e.RetryAfter = retryAfter(r.Header.Get("Retry-After"), time.Now())
	return e
}

// newHTTPClient returns a client for one call. Calls are rare (a few an hour and
// mailbox), so it keeps no connection, which would need a goroutine.
func newHTTPClient(p *Provider) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy:             func(r *http.Request) (*url.URL, error) { return p.ProxyFor(r.URL) },
			TLSClientConfig:   &tls.Config{RootCAs: p.RootCAs, MinVersion: tls.VersionTLS12},
			DisableKeepAlives: true,
			// The headers count too.
			MaxResponseHeaderBytes: maxResponse,
		},
		// A redirect would send the secrets elsewhere. Token endpoints have none;
		// captive portals do.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// call is a request to one of a provider's OAuth endpoints. Every request is sent by
// [call.send] or [call.roundTrip], which apply the limits.
type call struct {
	provider *Provider
	endpoint string // its name in errors: "the token endpoint"
	key      string // of the configuration, where url comes from
	url      string
	form     url.Values    // posted; nil: a GET
	bearer   secret.String // the access token to send, if any
}

// tokenCall is a call to the token endpoint.
func tokenCall(p *Provider, form url.Values) call {
	return call{provider: p, endpoint: "the token endpoint", key: "token_url", url: p.TokenURL, form: form}
}

// Response is the whole response to a call, whatever its status.
type Response struct {
	Status int
	Header http.Header
	Body   []byte               // at most one byte more than the limit
	TLS    *tls.ConnectionState // nil: without TLS
	host   string
}

// Format and MarshalText keep the body out of logs: it may contain a token.
func (r Response) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "response %d", r.Status) }

func (r Response) MarshalText() ([]byte, error) { return []byte(fmt.Sprint(r)), nil }

// secretParameters are the form fields that errors must not repeat, although the
// peer may.
var secretParameters = []string{
	"client_secret", "client_assertion", "assertion", "refresh_token", "code", "code_verifier", "device_code", "token",
}

// told returns the secrets that the peer knows and may repeat.
func (c call) told() []secret.String {
	told := []secret.String{c.bearer, c.provider.ClientSecret}
	for _, name := range secretParameters {
		told = append(told, secret.String(c.form.Get(name)))
	}
	if c.provider.Proxy != nil {
		password, _ := c.provider.Proxy.User.Password()
		told = append(told, secret.String(password))
	}
	return told
}

// send makes the call and reads the whole response. Its errors are for people.
func (c call) send(ctx context.Context) (*Response, error) {
	r, err := c.roundTrip(ctx)
	if e := (*EndpointError)(nil); err == nil || errors.As(err, &e) {
		return r, err
	}
	host := c.url
	if u, err := url.Parse(c.url); err == nil {
		host = u.Host
	}
	words, hint := secret.Scrub(err.Error(), c.told()...), ""
	if _, fix, ok := tlserror.Explain(err, tlserror.Server{Host: host, Address: host, Table: tableOf(c.provider)}); ok {
		hint = "; " + fix
	}
	if errors.Is(err, context.DeadlineExceeded) {
		words = fmt.Sprintf("no answer within %s", c.provider.CallTimeout())
	}
	if c.provider.Proxy != nil {
		hint += "; it is reached through the proxy " + printable.Quote(c.provider.Proxy.Host)
	}
	return nil, &EndpointError{
		Kind: ErrUnavailable, err: err,
		reason: fmt.Sprintf("%s at %s cannot be reached: %s%s", c.endpoint, host, words, hint),
	}
}

// roundTrip makes the call and reads the whole response. Its errors are those of the
// network, or an [EndpointError] for a URL that must not receive secrets.
func (c call) roundTrip(ctx context.Context) (*Response, error) {
	ctx, cancel := context.WithTimeout(ctx, c.provider.CallTimeout())
	defer cancel()
	method := http.MethodGet
	if c.form != nil {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(ctx, method, c.url, strings.NewReader(c.form.Encode()))
	if err != nil || !confidential(req.URL) {
		return nil, &EndpointError{Kind: ErrRefused, reason: fmt.Sprintf("the %s %s is not an https:// address", c.key, printable.Quote(c.url))}
	}
	if c.form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if !c.bearer.Empty() {
		req.Header.Set("Authorization", "Bearer "+c.bearer.Reveal())
	}
	req.Header.Set("Accept", "application/json")

	resp, err := newHTTPClient(c.provider).Do(req)
	if wrapped := (*url.Error)(nil); errors.As(err, &wrapped) {
		err = wrapped.Err // it repeats method and URL, which the sentence has already
	}
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxResponse+1))
	if err != nil {
		return nil, err
	}
	return &Response{Status: resp.StatusCode, Header: resp.Header, Body: body, TLS: resp.TLS, host: req.URL.Host}, nil
}

func (c call) Format(f fmt.State, _ rune) { io.WriteString(f, "call to "+c.endpoint) }

// authenticateClient adds the client and its proof to a form (RFC 6749 §2.3.1): in
// the body, since Google accepts no other way, and trying both would send each
// failing refresh twice. A certificate takes precedence over a secret.
func authenticateClient(form url.Values, p *Provider, now time.Time) error {
	if p.ClientID != "" {
		form.Set("client_id", p.ClientID)
	}
	switch {
	case p.Certificate != nil:
		assertion, err := clientAssertion(p, now)
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

// requestToken calls the token endpoint as the client. form holds the grant. The
// token's life is counted from now, before the call, which may be slow.
func requestToken(ctx context.Context, p *Provider, form url.Values, now time.Time) (*Token, error) {
	if err := authenticateClient(form, p, now); err != nil {
		return nil, err
	}
	return requestTokenAs(ctx, p, form, now)
}

// requestTokenAs is requestToken with a form that identifies the caller by itself.
func requestTokenAs(ctx context.Context, p *Provider, form url.Values, now time.Time) (*Token, error) {
	c := tokenCall(p, form)
	r, err := c.send(ctx)
	if err != nil {
		return nil, err
	}
	t, err := readToken(r.Status, r.Body, now.UTC().Round(0), c.told())
	if e := (*EndpointError)(nil); errors.As(err, &e) {
		e.at(c, r)
		if form.Has("assertion") || form.Has("client_assertion") {
			e.reason += clockWords(r.Header.Get("Date"), now)
		}
		return nil, err
	}
	if err != nil {
		return nil, err
	}
	t.Owner = idTokenOwner(r.Body)
	return t, nil
}

// clockWords says how far this machine's clock differs from the Date (RFC 9110
// §6.6.1) of the response to an assertion, if that is too much: an assertion is
// valid for a time that both clocks must agree about.
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

// confidential reports whether secrets may be sent to a URL: over TLS, or to this
// machine.
func confidential(u *url.URL) bool {
	host := u.Hostname()
	return u.Scheme == "https" || u.Scheme == "http" && (host == "localhost" || net.ParseIP(host).IsLoopback())
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
