package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"authferry/internal/admin"
	"authferry/internal/config"
	"authferry/internal/hint"
)

// healthTime bounds the request: the server answers within five seconds.
const healthTime = 10 * time.Second

func healthCommand() *cobra.Command {
	var url string
	var alive bool
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Report whether the running server can serve logins",
		Long: `Report whether the running server can serve logins: it accepts connections, can
read and write the store, and is not stopping. The command asks the admin socket
or the monitor address. Exit code: 0 if it can; 1 if not, with the reasons on
standard error. Use it as the HEALTHCHECK of a container.

Providers are not checked, because a restart would not repair them: use check
for that.`,
		Example: `  authferry health
  authferry health --alive
  authferry health --url http://127.0.0.1:8026`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			path := "/readyz"
			if alive {
				path = "/healthz"
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), healthTime)
			defer cancel()
			status, answer, err := askHealth(ctx, cmd, url, path)
			if err != nil {
				return err
			}
			return judgeHealth(cmd.OutOrStdout(), status, answer)
		},
	}
	cmd.Flags().StringVar(&url, "url", "", "ask the monitor at this `URL` instead of reading a configuration")
	cmd.Flags().BoolVar(&alive, "alive", false, "report only whether connections are accepted")
	return cmd
}

// askHealth asks the given monitor, the admin socket or the configured monitor.
func askHealth(ctx context.Context, cmd *cobra.Command, url, path string) (status int, answer []byte, err error) {
	if url != "" {
		return fetch(ctx, strings.TrimSuffix(url, "/")+path)
	}
	c, err := configForAdmin(cmd)
	switch {
	case err != nil:
		return 0, nil, err
	case c.Admin != "":
		status, answer, err = admin.NewClient(c.Admin).Fetch(ctx, path)
		return status, answer, notRunning(err, c)
	case c.Monitor != "":
		return fetch(ctx, config.MonitorURL(c.Monitor)+path)
	}
	return 0, nil, hint.New(errors.New("cannot reach the server: the admin socket and the monitor are both disabled"),
		`set monitor = "http://127.0.0.1:%d" in %s`, config.MonitorPort, c.File)
}

// maxHealth bounds an answer, which may come from any server.
const maxHealth = 64 << 10

// fetch requests a page over HTTP.
func fetch(ctx context.Context, url string) (status int, page []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err == nil && (req.URL.Host == "" || req.URL.Scheme != "http" && req.URL.Scheme != "https") {
		err = fmt.Errorf("%q is not the URL of a monitor", url)
	}
	if err != nil {
		return 0, nil, hint.Usage(err, `--url takes the URL of a monitor, such as "http://127.0.0.1:%d"`, config.MonitorPort)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // and no proxy
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, hint.New(fmt.Errorf("asking the server: %w", err), "start it with `authferry serve`; the key monitor of its configuration is the address to ask")
	}
	defer resp.Body.Close()
	page, err = io.ReadAll(io.LimitReader(resp.Body, maxHealth))
	if err != nil {
		return 0, nil, fmt.Errorf("reading the server's answer: %w", err)
	}
	return resp.StatusCode, page, nil
}

// judgeHealth turns the reasons of an unhealthy server into an error with a line for
// each.
func judgeHealth(w io.Writer, status int, answer []byte) error {
	text := strings.TrimSpace(string(answer))
	switch status {
	case http.StatusOK:
		_, err := fmt.Fprintln(w, text)
		return err
	case http.StatusServiceUnavailable:
		return errors.New(text)
	}
	return hint.New(fmt.Errorf("the server answered %d %s: %.160q", status, http.StatusText(status), text), "check that the address is that of authferry's monitor")
}
