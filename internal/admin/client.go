package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	"authferry/internal/hint"
)

// ErrNotRunning reports that no server answers on the socket.
var ErrNotRunning = errors.New("no authferry is running here")

// Client asks a running server.
type Client struct {
	path string
	http *http.Client
}

// NewClient returns a client of the socket at a path.
func NewClient(path string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
	return &Client{path: path, http: &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// Status returns the state of the server.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	return s, c.ask(ctx, http.MethodGet, "/status", nil, &s)
}

// Sessions returns the sessions in progress.
func (c *Client) Sessions(ctx context.Context) (list []Session, err error) {
	return list, c.ask(ctx, http.MethodGet, "/sessions", nil, &list)
}

// Kick ends sessions and returns how many.
func (c *Client) Kick(ctx context.Context, which Which) (int, error) {
	var k kicked
	err := c.ask(ctx, http.MethodPost, "/kick", which, &k)
	return k.Ended, err
}

// Reload reloads the configuration file. The error has a line for each problem in
// it.
func (c *Client) Reload(ctx context.Context) error {
	return c.ask(ctx, http.MethodPost, "/reload", nil, nil)
}

// Sweep ends the sessions whose passwords are revoked.
func (c *Client) Sweep(ctx context.Context) error {
	return c.ask(ctx, http.MethodPost, "/sweep", nil, nil)
}

// Fetch returns a page as it is: for a monitor, or a profile.
func (c *Client) Fetch(ctx context.Context, path string) (status int, page []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://authferry"+path, nil)
	if err != nil {
		return 0, nil, err
	}
	resp, err := c.do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	page, err = io.ReadAll(resp.Body)
	if err != nil {
		return 0, nil, fmt.Errorf("reading the answer of the server on %s: %w", c.path, err)
	}
	return resp.StatusCode, page, nil
}

// do makes a request. Its error is ErrNotRunning if nothing listens on the socket.
func (c *Client) do(req *http.Request) (*http.Response, error) {
	resp, err := c.http.Do(req)
	if op := (*net.OpError)(nil); errors.As(err, &op) && op.Op == "dial" {
		return nil, fmt.Errorf("%w: nothing listens on %s: %w", ErrNotRunning, c.path, op.Err)
	}
	if err != nil {
		return nil, fmt.Errorf("asking the server on %s: %w", c.path, err)
	}
	return resp, nil
}

// ask makes one request. The host name means nothing on a unix socket.
func (c *Client) ask(ctx context.Context, method, path string, send, receive any) error {
	body, err := json.Marshal(send)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://authferry"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := c.do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		var f failure
		if json.NewDecoder(resp.Body).Decode(&f) == nil && f.Error != "" {
			err := errors.New(f.Error)
			if f.Hint != "" {
				err = hint.New(err, "%s", f.Hint)
			}
			return err
		}
		return fmt.Errorf("the server on %s answered %s", c.path, resp.Status)
	}
	if receive == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	}
	if err := json.NewDecoder(resp.Body).Decode(receive); err != nil {
		return fmt.Errorf("reading the answer of the server on %s: %w", c.path, err)
	}
	return nil
}
