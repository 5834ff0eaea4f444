package config

import (
	"strings"
	"testing"
)

func TestParseMonitor(t *testing.T) {
	for text, want := range map[string]string{
		"http://127.0.0.1:8026":  "127.0.0.1:8026",
		"http://localhost":       "127.0.0.1:8026",
		"http://[::1]:9/":        "[::1]:9",
		"http://:8026":           ":8026",
		"127.0.0.1:8026":         "",
		"http://example.org":     "",
		"http://127.0.0.1/x":     "",
		"http://u:p@127.0.0.1":   "",
		"http://127.0.0.1:99999": "",
	} {
		got, err := parseMonitor(text)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v; want %q", text, got, err, want)
		}
	}
	for address, want := range map[string]string{
		"127.0.0.1:1": "http://127.0.0.1:1", "[::1]:1": "http://[::1]:1",
		":1": "http://127.0.0.1:1", "0.0.0.0:1": "http://127.0.0.1:1", "[::]:1": "http://127.0.0.1:1",
	} {
		if got := MonitorURL(address); got != want {
			t.Errorf("%s is asked at %s, want %s", address, got, want)
		}
	}
}

// TestMonitorOffLoopback: that strangers may read it is said.
func TestMonitorOffLoopback(t *testing.T) {
	for url, warned := range map[string]bool{
		"http://127.0.0.1": false, "http://[::1]:1": false, "http://localhost": false,
		"http://192.0.2.1": true, "http://:8026": true, "http://0.0.0.0": true,
	} {
		c := load(t, "monitor = '"+url+"'\n")
		if got := strings.Contains(strings.Join(c.Warnings, " "), "monitor_mailboxes"); got != warned {
			t.Errorf("%s: warnings %q", url, c.Warnings)
		}
	}
}
