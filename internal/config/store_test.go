//go:build !windows

package config

import "testing"

// TestDefaultState: on Windows the state is beside the configuration.
func TestDefaultState(t *testing.T) {
	t.Setenv("HOME", "/home/ada")
	t.Setenv("XDG_CONFIG_HOME", "")
	t.Setenv("XDG_STATE_HOME", "")
	for file, want := range map[string]string{
		"/etc/authferry/config.toml":                "/var/lib/authferry",
		"/srv/mail/config.toml":                     "/var/lib/authferry",
		"/home/ada/.config/authferry/config.toml":   "/home/ada/.local/state/authferry",
		"/home/grace/.config/authferry/config.toml": "/home/grace/.local/state/authferry", // by root, say
		"/home/ada/.config/other/config.toml":       "/var/lib/authferry",
		"":                                          "/var/lib/authferry", // all by the environment
	} {
		if got := defaultState(file); got != want {
			t.Errorf("%q: %s, want %s", file, got, want)
		}
	}
	t.Setenv("XDG_CONFIG_HOME", "/cfg")
	t.Setenv("XDG_STATE_HOME", "/state")
	if got := defaultState("/cfg/authferry/config.toml"); got != "/state/authferry" {
		t.Error(got)
	}
	if got := defaultState("/etc/authferry/config.toml"); got != "/var/lib/authferry" {
		t.Error(got)
	}
}
