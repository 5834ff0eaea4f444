package oauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"authferry/internal/secret"
	"authferry/tokens/oauth/oauthtest"
)

// deviceAnswers makes an endpoint issue a device code and then send the answers in
// order, repeating the last one.
func deviceAnswers(t *testing.T, f *oauthtest.Endpoint, start string, answers ...string) {
	t.Helper()
	f.Does(func(w http.ResponseWriter, r *http.Request) bool {
		r.ParseForm()
		if r.URL.Path == "/device" {
			if r.PostForm.Get("client_id") != "client" || r.PostForm.Get("scope") != oauthtest.MailIs {
				t.Errorf("a device code is asked for with %v", r.PostForm)
			}
			if strings.Contains(start, `"error"`) {
				w.WriteHeader(http.StatusBadRequest)
			}
			fmt.Fprint(w, start)
			return true
		}
		if r.PostForm.Get("grant_type") != "urn:ietf:params:oauth:grant-type:device_code" || r.PostForm.Get("device_code") != "device-CANARY" {
			t.Errorf("asked with %v", r.PostForm)
		}
		answer := answers[0]
		if len(answers) > 1 {
			answers = answers[1:]
		}
		switch {
		case answer == "cut":
			panic(http.ErrAbortHandler)
		case strings.HasPrefix(answer, "429"):
			w.Header().Set("Retry-After", "40")
			w.WriteHeader(http.StatusTooManyRequests)
			answer = `{"error":"rate_limit_exceeded"}`
		case strings.HasPrefix(answer, "<"):
			w.WriteHeader(http.StatusBadGateway)
		case !strings.HasPrefix(answer, "{"):
			w.WriteHeader(http.StatusBadRequest)
			answer = fmt.Sprintf(`{"error":%q,"error_description":"about device-CANARY"}`, answer)
		}
		fmt.Fprint(w, answer)
		return true
	})
}

const deviceStart = `{"device_code":"device-CANARY","user_code":"ABCD-EFGH","verification_uri":"https://example.com/device","verification_uri_complete":"https://example.com/device?c=ABCD-EFGH","expires_in":900,"interval":5}`

// startDevice starts a sign-in whose pauses take no time and are recorded.
func startDevice(t *testing.T, f *oauthtest.Endpoint) (d *Device, pauses *[]time.Duration) {
	t.Helper()
	p := fakeProvider(f)
	p.DeviceURL = f.URL + "/device"
	d, err := p.StartDevice(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c, pauses := &oauthtest.Clock{}, &[]time.Duration{}
	d.now = c.Now
	d.pause = func(ctx context.Context, wait time.Duration) error {
		*pauses = append(*pauses, wait)
		c.Advance(wait)
		return ctx.Err()
	}
	return d, pauses
}

func seconds(n ...int) (all []time.Duration) {
	for _, s := range n {
		all = append(all, time.Duration(s)*time.Second)
	}
	return all
}

// TestDeviceWait: the pauses of RFC 8628 §3.5, and what ends the wait.
func TestDeviceWait(t *testing.T) {
	granted := `{"access_token":"ya29.CANARY","refresh_token":"1//CANARY","expires_in":3599}`
	for name, c := range map[string]struct {
		answers []string
		pauses  []time.Duration // the first ones
		says    string          // empty: it returns a token
	}{
		"signed in":         {[]string{"authorization_pending", "authorization_pending", granted}, seconds(5, 5, 5), ""},
		"slow down":         {[]string{"slow_down", "authorization_pending", "slow_down", granted}, seconds(5, 10, 10, 15), ""},
		"network":           {[]string{"cut", "cut", "authorization_pending", granted}, seconds(5, 10, 20, 5), ""},
		"outage":            {[]string{"<html>", "<html>", "<html>", "<html>", "<html>", granted}, seconds(5, 10, 20, 40, 60, 60), ""},
		"throttled":         {[]string{"429", granted}, seconds(5, 40), ""},
		"a new word":        {[]string{"bad_day", granted}, seconds(5, 10), ""},
		"declined":          {[]string{"authorization_pending", "access_denied"}, seconds(5, 5), "did not consent"},
		"declined, there":   {[]string{"authorization_declined"}, seconds(5), "did not consent"},
		"expired, they say": {[]string{"expired_token"}, seconds(5), "expired before anyone"},
		"expired":           {[]string{"authorization_pending"}, seconds(5, 5), "expired before anyone"},
		"expired, cut off":  {[]string{"<html>"}, seconds(5, 10, 20, 40, 60, 60), "the last call to the provider failed"},
		"wrong client":      {[]string{"invalid_client"}, seconds(5), "check client_id"},
		"wrong code":        {[]string{"bad_verification_code"}, seconds(5), "bad_verification_code"},
		"used code":         {[]string{"invalid_grant"}, seconds(5), "invalid_grant"},
	} {
		t.Run(name, func(t *testing.T) {
			f := oauthtest.NewEndpoint(t)
			deviceAnswers(t, f, deviceStart, c.answers...)
			d, pauses := startDevice(t, f)
			if d.UserCode != "ABCD-EFGH" || d.URL != "https://example.com/device" || d.CompleteURL != d.URL+"?c=ABCD-EFGH" || time.Until(d.Expires) < 14*time.Minute {
				t.Errorf("%q %q %q %s", d.UserCode, d.URL, d.CompleteURL, d.Expires)
			}
			token, err := d.Wait(t.Context())
			if c.says == "" && (err != nil || token.Refresh != "1//CANARY") {
				t.Fatal(err)
			}
			if c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "CANARY")) {
				t.Fatalf("%v; want %q", err, c.says)
			}
			if len(*pauses) < len(c.pauses) || !slices.Equal((*pauses)[:len(c.pauses)], c.pauses) {
				t.Errorf("waited %s, want %s", *pauses, c.pauses)
			}
			total := time.Duration(0)
			for _, p := range *pauses {
				total += p
			}
			if total > 15*time.Minute {
				t.Errorf("went on for %s after a code of 15 minutes", total)
			}
		})
	}
}

// TestDeviceInterrupted: the end of the context ends a pause and a call.
func TestDeviceInterrupted(t *testing.T) {
	f := oauthtest.NewEndpoint(t)
	deviceAnswers(t, f, deviceStart, "authorization_pending")
	d, _ := startDevice(t, f)
	ctx, cancel := context.WithCancel(t.Context())
	d.pause = func(context.Context, time.Duration) error { cancel(); return nil } // ends in the call
	if _, err := d.Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("in a call: %v", err)
	}
	d.pause = pause
	if _, err := d.Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("in a pause: %v", err)
	}
}

// TestStartDeviceRefuses: the errors for providers without device codes, and for invalid
// responses.
func TestStartDeviceRefuses(t *testing.T) {
	f := oauthtest.NewEndpoint(t)
	for name, c := range map[string]struct{ start, says string }{
		"Gmail":          {`{"error":"invalid_scope","error_description":"Invalid device flow scope: https://mail.google.com/"}`, "--no-browser"},
		"wrong client":   {`{"error":"invalid_client"}`, "check client_id"},
		"outage":         {`<html>`, "without JSON"},
		"a flood":        {`{"device_code":"` + strings.Repeat("x", maxResponse) + `"}`, "without JSON"},
		"no code":        {`{"verification_uri":"https://example.com/"}`, "not a device code"},
		"no page":        {strings.Replace(deviceStart, "https://example.com/device\"", "javascript:alert(1)\"", 1), "not a device code"},
		"a page of ours": {strings.Replace(deviceStart, "https://example.com/device\"", "https://you@example.com/\"", 1), "not a device code"},
		"escapes":        {strings.Replace(deviceStart, "ABCD-EFGH", `\u001b[2J`, 1), "not a device code"},
		"a wordy code":   {strings.Replace(deviceStart, "ABCD-EFGH", strings.Repeat("A", 65), 1), "not a device code"},
	} {
		deviceAnswers(t, f, c.start)
		p := fakeProvider(f)
		p.DeviceURL = f.URL + "/device"
		_, err := p.StartDevice(t.Context())
		if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "CANARY") || strings.Contains(err.Error(), "check scopes; check") {
			t.Errorf("%s: %v; want %q", name, err, c.says)
		}
	}
	p := fakeProvider(f)
	if _, err := p.StartDevice(t.Context()); err == nil || !strings.Contains(err.Error(), "device_url") {
		t.Errorf("no device_url: %v", err)
	}
	p.ClientID = ""
	if _, err := p.StartDevice(t.Context()); err == nil || !strings.Contains(err.Error(), "client_id") {
		t.Errorf("no client: %v", err)
	}
}

func FuzzReadDevice(f *testing.F) {
	for _, s := range []string{deviceStart, `{"error":"invalid_scope"}`, `{}`, `<html>`, `{"device_code":1,"user_code":{},"verification_url":"http://x","interval":-1}`} {
		f.Add(200, s)
		f.Add(400, s)
	}
	now := time.Now()
	f.Fuzz(func(t *testing.T, status int, body string) {
		d, err := readDevice(status, []byte(body), now, []secret.String{"told-CANARY"})
		if err != nil {
			if strings.ContainsAny(err.Error(), "\r\n\x00\x1b") || strings.Contains(err.Error(), "told-CANARY") || len(err.Error()) > 2500 {
				t.Errorf("%q from %q", err, body)
			}
			return
		}
		if strings.ContainsAny(d.UserCode+d.URL+d.CompleteURL, "\r\n\x00\x1b") || d.UserCode == "" || !strings.HasPrefix(d.URL, "http") ||
			d.interval < time.Second || d.interval > time.Hour || !d.Expires.After(now) || d.Expires.After(now.Add(maxDeviceLife)) {
			t.Errorf("%q %q %q %s %s from %q", d.UserCode, d.URL, d.CompleteURL, d.interval, d.Expires, body)
		}
	})
}
