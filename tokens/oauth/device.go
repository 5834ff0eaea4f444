package oauth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"authferry/internal/secret"
)

const (
	// deviceInterval is how often to ask where the provider names no interval,
	// and what slow_down adds to it: RFC 8628 §3.2, §3.5.
	deviceInterval = 5 * time.Second
	// maxDeviceInterval is the longest pause between two questions, whatever
	// goes wrong: a person is waiting.
	maxDeviceInterval = time.Minute
	// deviceLife of a code whose answer names none: what Microsoft gives.
	deviceLife = 15 * time.Minute
	// maxDeviceLife is more than anybody gives.
	maxDeviceLife = 24 * time.Hour
)

// Device is a sign-in on another device (RFC 8628): its owner opens URL there
// and types UserCode, while [Device.Wait] asks for the token.
type Device struct {
	UserCode    string
	URL         string    // the page to open
	CompleteURL string    // the same with the code in it; empty: the provider has none
	Expires     time.Time // of the code

	provider *Provider
	code     secret.String
	interval time.Duration

	now   func() time.Time
	Pause func(context.Context, time.Duration) error
}

// noDevice is what to do where there are no device codes for mail. Google's
// list of scopes for them has none of Gmail's:
// https://developers.google.com/identity/protocols/oauth2/limited-input-device
const noDevice = "connect without --device (a browser on any other machine will do: --no-browser); Google gives no device codes for mail"

// StartDevice asks for a device code.
func (p *Provider) StartDevice(ctx context.Context) (*Device, error) {
	switch {
	case p.ClientID == "":
		return nil, p.lacks("OAuth client", "client_id (or client_file)")
	case p.DeviceURL == "":
		return nil, fmt.Errorf("the provider %s has no address for device codes: %s, elsewhere set device_url in [provider.%s]", p.Name, noDevice, p.Name)
	}
	form, now := url.Values{"scope": {strings.Join(p.Scopes, " ")}}, time.Now()
	if err := p.authenticate(form, now); err != nil {
		return nil, err
	}
	c := call{what: "the device endpoint", key: "device_url", address: p.DeviceURL, form: form}
	r, err := p.send(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("asking for a device code: %w", err)
	}
	d, err := readDevice(r.status, r.body, now, p.told(c))
	if e := (*EndpointError)(nil); errors.As(err, &e) {
		if e.code == "invalid_scope" {
			e.reason = strings.TrimSuffix(e.reason, "; "+refusedCodes[e.code]) + "; check scopes, or " + noDevice
		}
		return nil, fmt.Errorf("asking for a device code: %w", e.at(c, r))
	}
	d.provider, d.now, d.Pause = p, time.Now, pause
	return d, nil
}

// readDevice makes a Device, or an *endpointError, of an answer: RFC 8628 §3.2.
func readDevice(status int, body []byte, now time.Time, told []secret.String) (*Device, error) {
	var a answer
	if len(body) > maxAnswer || json.Unmarshal(bytes.TrimPrefix(body, []byte("\ufeff")), &a) != nil || a == nil {
		return nil, &EndpointError{Kind: ErrUnavailable, reason: fmt.Sprintf("answered %s without JSON: a proxy, a captive portal or an outage", statusText(status))}
	}
	if code := a.text("error"); code != "" && code != "null" {
		return nil, refusedAnswer(status, a, code, told)
	}
	if status < 200 || status > 299 {
		return nil, &EndpointError{Kind: ErrUnavailable, reason: "answered " + statusText(status)}
	}
	d := &Device{
		UserCode: a.text("user_code"), URL: a.text("verification_uri"), CompleteURL: a.text("verification_uri_complete"),
		code:     secret.String(a.text("device_code")),
		Expires:  now.Add(a.seconds("expires_in", deviceLife, maxDeviceLife)),
		interval: max(time.Second, a.seconds("interval", deviceInterval, maxDeviceInterval)),
	}
	if d.URL == "" {
		d.URL = a.text("verification_url") // as Google had it before the RFC
	}
	if !isPage(d.CompleteURL) {
		d.CompleteURL = ""
	}
	// They are shown to a person, on a terminal.
	if !isToken(d.code) || !isPage(d.URL) || !isUserCode(d.UserCode) {
		return nil, &EndpointError{Kind: ErrUnavailable, reason: fmt.Sprintf("answered %s with something that is not a device code", statusText(status))}
	}
	return d, nil
}

// isUserCode tells whether a person could type it.
func isUserCode(s string) bool {
	return s != "" && len(s) <= 64 && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

// isPage tells whether s is the address of a page.
func isPage(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil && isToken(secret.String(s))
}

// Wait asks, as often as the provider likes, until the owner has signed in or
// declined, or the code has expired. A network that fails meanwhile is given
// time: the owner may be half through.
func (d *Device) Wait(ctx context.Context) (*Token, error) {
	interval, wait := d.interval, d.interval
	var last error // the last failure that may pass
	for d.now().Add(wait).Before(d.Expires) {
		if err := d.Pause(ctx, wait); err != nil {
			return nil, err
		}
		t, err := d.provider.ask(ctx, url.Values{
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
			return nil, errors.New("the owner did not agree: run the command again if that was a mistake")
		case e.Kind != ErrUnavailable || e.code == "bad_verification_code" || e.code == "invalid_request":
			return nil, fmt.Errorf("waiting for the sign-in: %w", err)
		default: // RFC 8628 §3.5: less and less often
			wait, last = max(min(2*wait, maxDeviceInterval), min(e.RetryAfter, maxDeviceInterval)), err
		}
	}
	return nil, deviceExpired(last)
}

// deviceExpired is a code that nobody used in time, or whose use could not be
// heard of.
func deviceExpired(last error) error {
	if last != nil {
		return fmt.Errorf("the code has expired, and lately there was no word from the provider: %w; run the command again", last)
	}
	return errors.New("the code has expired before anybody signed in with it: run the command again, and type the new code")
}

// pause waits, unless there is nobody left to wait for.
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
