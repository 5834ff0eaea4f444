package alert

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"authferry/internal/address"
	"authferry/internal/printable"
	"authferry/internal/secret"
)

const (
	webhookTime  = 15 * time.Second // of one try
	webhookTries = 3
	webhookPause = 2 * time.Second  // before the second try; each further one waits four times as long
	longestPause = 30 * time.Second // that an answer may ask for
	mostAnswer   = 4 << 10
)

// CheckWebhook reports what is wrong with the address of a webhook. The error
// repeats no part of it.
func CheckWebhook(webhook secret.String) error {
	_, err := parseWebhook(webhook)
	return err
}

// parseWebhook parses an address. An error of url.Parse would repeat it.
func parseWebhook(webhook secret.String) (*url.URL, error) {
	u, err := url.Parse(webhook.Reveal())
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("must be an https:// address")
	case u.Scheme == "http" && !address.IsLoopbackHost(u.Hostname()):
		return nil, errors.New("must be an https:// address: with http://, anyone on the network path could read it and post there; http:// works for this machine only")
	}
	return u, nil
}

// webhookName returns the part of an address that may be printed.
func webhookName(u *url.URL) string { return u.Scheme + "://" + u.Host + "/..." }

// webhook posts messages.
type webhook struct {
	address *url.URL
	client  *http.Client
	tries   int
	pause   func(context.Context, time.Duration) error
}

func newWebhook(address secret.String) (*webhook, error) {
	u, err := parseWebhook(address)
	if err != nil {
		return nil, fmt.Errorf("webhook in [alert] %w", err)
	}
	return &webhook{u, &http.Client{
		Timeout: webhookTime,
		// Messages are rare: keeping a connection would keep a goroutine.
		Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10},
		// The administrator did not name the target of a redirect.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, webhookTries, pause}, nil
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// send posts a message, and retries after errors that may be temporary.
func (w *webhook) send(ctx context.Context, m Message) error {
	post, err := json.Marshal(w.payload(m))
	if err != nil {
		return fmt.Errorf("writing the alert as JSON: %w", err)
	}
	wait := webhookPause
	for try := 1; ; try++ {
		again, asked, err := w.try(ctx, post)
		if err == nil || !again || try == w.tries {
			return err
		}
		if w.pause(ctx, min(max(wait, asked), longestPause)) != nil {
			return err
		}
		wait *= 4
	}
}

// payload returns the JSON to post. Google Chat refuses keys that it does not know;
// other services ignore them.
func (w *webhook) payload(m Message) any {
	if w.address.Hostname() == "chat.googleapis.com" {
		return map[string]string{"text": m.Text()}
	}
	return m
}

// try posts once. again reports whether another try may succeed, and asked is how
// long the answer asks to wait before it.
func (w *webhook) try(ctx context.Context, post []byte) (again bool, asked time.Duration, err error) {
	name := webhookName(w.address)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.address.String(), bytes.NewReader(post))
	if err != nil {
		return false, 0, fmt.Errorf("posting to %s: not an address to post to", name)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "authferry")
	resp, err := w.client.Do(req)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err // the rest of it is the address
		}
		return true, 0, fmt.Errorf("posting to %s: %s: is it reachable from this machine?", name, w.scrub(err.Error()))
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(resp.Body, mostAnswer)) // for the words only
	switch code := resp.StatusCode; {
	case code/100 == 2:
		return false, 0, nil
	case code/100 == 3:
		return false, 0, fmt.Errorf("posting to %s: the answer is a redirect (%d), which is not followed: write down the final address", name, code)
	default:
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
		again = code == http.StatusTooManyRequests || code/100 == 5
		return again, time.Duration(min(max(seconds, 0), 3600)) * time.Second,
			fmt.Errorf("posting to %s: the answer is %d %s: check the address where the webhook was made",
				name, code, printable.Quote(w.scrub(string(answer))))
	}
}

// minPart is how long a part of the address must be to be removed from text: a shorter
// one ("v1", "bot") occurs in ordinary words.
const minPart = 4

// scrub removes the secret parts of the address from text that may repeat them.
func (w *webhook) scrub(text string) string {
	parts := []string{w.address.String(), w.address.RequestURI(), w.address.RawQuery}
	parts = append(parts, strings.Split(w.address.Path, "/")...)
	for _, values := range w.address.Query() {
		parts = append(parts, values...)
	}
	if u := w.address.User; u != nil {
		password, _ := u.Password()
		parts = append(parts, u.String(), password)
	}
	scrubber := secret.NewScrubber(minPart)
	for _, part := range parts {
		scrubber = scrubber.With(secret.String(part))
	}
	return scrubber.Scrub(text)
}
