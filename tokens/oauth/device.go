package oauth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"authferry/internal/secret"
)

const (
	// deviceInterval is the default polling interval, and what slow_down adds to it:
	// RFC 8628 §3.2, §3.5.
	deviceInterval = 5 * time.Second
	// maxDeviceInterval is the longest pause between two requests, whatever fails: a
	// person is waiting.
	maxDeviceInterval = time.Minute
	// deviceLife of a code whose response has no expires_in: what Microsoft gives.
	deviceLife = 15 * time.Minute
	// maxDeviceLife is longer than any provider's.
	maxDeviceLife = 24 * time.Hour
)

// Device is a sign-in on another device (RFC 8628): the owner opens URL there and
// types UserCode, while [Device.Wait] polls for the token.
type Device struct {
	UserCode    string
	URL         string    // the page to open
	CompleteURL string    // URL with the code in it; empty: the provider has none
	Expires     time.Time // of the code

	provider *Provider
	code     secret.String
	interval time.Duration

	now   func() time.Time
	pause func(context.Context, time.Duration) error
}

// noDevice is what to do if the provider has no device codes for mail. Google's list
// of scopes for them has none of Gmail's:
// https://developers.google.com/identity/protocols/oauth2/limited-input-device
const noDevice = "connect without --device (a browser on any other machine will do: --no-browser); Google issues no device codes for mail"

// requestDevice is [Provider.StartDevice].
func requestDevice(ctx context.Context, p *Provider) (*Device, error) {
	switch {
	case p.ClientID == "":
		return nil, missingSetting(p, "OAuth client", "client_id (or client_file)")
	case p.DeviceURL == "":
		return nil, fmt.Errorf("the provider %s has no device authorization endpoint: %s; for other providers set device_url in [provider.%s]", p.Name, noDevice, p.Name)
	}
	form, now := url.Values{"scope": {strings.Join(p.Scopes, " ")}}, time.Now()
	if err := authenticateClient(form, p, now); err != nil {
		return nil, err
	}
	c := call{provider: p, endpoint: "the device endpoint", key: "device_url", url: p.DeviceURL, form: form}
	r, err := c.send(ctx)
	if err != nil {
		return nil, fmt.Errorf("requesting a device code: %w", err)
	}
	d, err := readDevice(r.Status, r.Body, now, c.told())
	if e := (*EndpointError)(nil); errors.As(err, &e) {
		if e.code == "invalid_scope" {
			e.reason = strings.TrimSuffix(e.reason, "; "+codeFixes[e.code]) + "; check scopes, or " + noDevice
		}
		return nil, fmt.Errorf("requesting a device code: %w", e.at(c, r))
	}
	d.provider, d.now, d.pause = p, time.Now, pause
	return d, nil
}

// readDevice reads a Device from a response (RFC 8628 §3.2), or returns an
// [EndpointError] whose reason continues the name of the endpoint.
func readDevice(status int, body []byte, now time.Time, told []secret.String) (*Device, error) {
	f, err := readFields(status, body, told)
	if err != nil {
		return nil, err
	}
	d := &Device{
		UserCode: f.text("user_code"), URL: f.text("verification_uri"), CompleteURL: f.text("verification_uri_complete"),
		code:     secret.String(f.text("device_code")),
		Expires:  now.Add(f.seconds("expires_in", deviceLife, maxDeviceLife)),
		interval: max(time.Second, f.seconds("interval", deviceInterval, maxDeviceInterval)),
	}
	if d.URL == "" {
		d.URL = f.text("verification_url") // Google's name, from before the RFC
	}
	if !isPage(d.CompleteURL) {
		d.CompleteURL = ""
	}
	// These are printed on a terminal.
	if !isToken(d.code) || !isPage(d.URL) || !isUserCode(d.UserCode) {
		return nil, &EndpointError{Kind: ErrUnavailable, reason: fmt.Sprintf("answered %s with something that is not a device code", statusText(status))}
	}
	return d, nil
}

// isUserCode reports whether a person could type s.
func isUserCode(s string) bool {
	return s != "" && len(s) <= 64 && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

// isPage reports whether s is the address of a page.
func isPage(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil && isToken(secret.String(s))
}

// Wait polls at the provider's interval until the owner has signed in or declined, or
// the code has expired. It survives failures of the network: the owner may be in the
// middle of the sign-in.
func (d *Device) Wait(ctx context.Context) (*Token, error) {
	interval, wait := d.interval, d.interval
	var last error // the last temporary failure
	for d.now().Add(wait).Before(d.Expires) {
		if err := d.pause(ctx, wait); err != nil {
			return nil, err
		}
		t, err := requestToken(ctx, d.provider, url.Values{
			"grant_type":  {"urn:ietf:params:oauth:grant-type:device_code"},
			"device_code": {d.code.Reveal()},
		}, d.now())
		if err == nil {
			return t, nil
		}
		e := (*EndpointError)(nil)
		if !errors.As(err, &e) {
			return nil, err
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		switch {
		case e.code == "authorization_pending":
			wait, last = interval, nil
		case e.code == "slow_down":
			interval = min(interval+deviceInterval, maxDeviceInterval)
			wait, last = interval, nil
		case e.code == "expired_token":
			return nil, deviceExpired(nil)
		case e.code == "access_denied" || e.code == "authorization_declined": // the latter is Microsoft's
			return nil, errors.New("the owner did not consent: run the command again if that was a mistake")
		case e.Kind != ErrUnavailable || e.code == "bad_verification_code" || e.code == "invalid_request":
			return nil, fmt.Errorf("waiting for the sign-in: %w", err)
		default: // RFC 8628 §3.5: exponential backoff
			wait, last = max(min(2*wait, maxDeviceInterval), min(e.RetryAfter, maxDeviceInterval)), err
		}
	}
	return nil, deviceExpired(last)
}

// deviceExpired is the error of a code that expired unused, or while the provider
// could not be reached (last).
func deviceExpired(last error) error {
	if last != nil {
		return fmt.Errorf("the code has expired, and the last call to the provider failed: %w; run the command again", last)
	}
	return errors.New("the code expired before anyone signed in with it: run the command again, and type the new code")
}

// pause waits, or returns early if the context ends.
func pause(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (d Device) Format(f fmt.State, _ rune) { io.WriteString(f, "device code "+secret.Redacted) }
