package tokens

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
type endpointError struct {
	kind       error  // ErrNeedsConsent, ErrRefused or ErrUnavailable
	code       string // the OAuth error code, if there was one
	reason     string // for people; never contains a token
	retryAfter time.Duration
	cause      error // of the network, if that was it
}

func (e *endpointError) Error() string { return e.reason }
func (e *endpointError) Unwrap() []error {
	if e.cause != nil {
		return []error{e.kind, e.cause}
	}
	return []error{e.kind}
}

// httpClient returns a client for one call. Calls are rare (a few an hour and
// mailbox), so it keeps no connection, which would be a goroutine to look after.
func (p *Provider) httpClient() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy:             http.ProxyFromEnvironment,
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

// ask makes one call to the token endpoint. form holds the grant; the client's
// id and secret are added (RFC 6749 §2.3.1, in the body: Google takes no other
// way, and trying both would send each failing refresh twice). The token's life
// is counted from now, before the call: it may be slow.
func (p *Provider) ask(ctx context.Context, form url.Values, now time.Time) (*Token, error) {
	form.Set("client_id", p.ClientID)
	told := []Secret{p.ClientSecret}
	if !p.ClientSecret.Empty() {
		form.Set("client_secret", p.ClientSecret.Reveal())
	}
	for _, name := range []string{"refresh_token", "code", "code_verifier"} {
		told = append(told, Secret(form.Get(name)))
	}
	ctx, cancel := context.WithTimeout(ctx, RefreshTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.TokenURL, strings.NewReader(form.Encode()))
	if err != nil || !confidential(req.URL) {
		return nil, &endpointError{kind: ErrRefused, reason: fmt.Sprintf("the token_url %s is not an https:// address", quote(p.TokenURL))}
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")

	resp, err := p.httpClient().Do(req)
	if err != nil {
		return nil, unreachable(req.URL, err, told)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, unreachable(req.URL, err, told)
	}
	t, err := readAnswer(resp.StatusCode, body, now.UTC().Round(0), told)
	if e := (*endpointError)(nil); errors.As(err, &e) {
		e.reason = fmt.Sprintf("the token endpoint at %s %s", req.URL.Host, e.reason)
		e.retryAfter = retryAfter(resp.Header.Get("Retry-After"), now)
	}
	return t, err
}

// confidential tells whether secrets may be sent to a URL: over TLS, or to
// this machine.
func confidential(u *url.URL) bool {
	host := u.Hostname()
	return u.Scheme == "https" || u.Scheme == "http" && (host == "localhost" || net.ParseIP(host).IsLoopback())
}

// unreachable is a call that brought no answer.
func unreachable(u *url.URL, err error, told []Secret) error {
	// *url.Error repeats method and URL, which the sentence has already.
	if wrapped := (*url.Error)(nil); errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	words, hint := scrub(err.Error(), told...), ""
	if errors.Is(err, context.DeadlineExceeded) {
		words = fmt.Sprintf("no answer within %s", RefreshTimeout)
	}
	if unknown := (x509.UnknownAuthorityError{}); errors.As(err, &unknown) {
		hint = "; if its certificate is from an authority of your own, name it in ca_file"
	}
	return &endpointError{
		kind: ErrUnavailable, cause: err,
		reason: fmt.Sprintf("the token endpoint at %s cannot be reached: %s%s", u.Host, words, hint),
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
