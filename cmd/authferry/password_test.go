package main

import (
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

func TestParseExpiry(t *testing.T) {
	now := time.Date(2026, 11, 21, 15, 30, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"":           {},
		"90d":        time.Date(2027, 2, 19, 15, 30, 0, 0, time.UTC),
		"12h":        time.Date(2026, 11, 22, 3, 30, 0, 0, time.UTC),
		"2027-01-31": time.Date(2027, 2, 1, 0, 0, 0, 0, time.UTC), // the day included
		"2026-11-21": time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC),
	} {
		if got, err := parseExpiry(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"0d", "-1d", "2026-11-20", "d", "soon", "90", "31.1.2027", "-5m"} {
		f := passwordFlags{name: "x", expires: text}
		if got, err := f.spec(&cobra.Command{}, now); err == nil || exitCode(err) != exitUsage {
			t.Errorf("%q: %v, %v", text, got.Expires, err)
		}
	}
}

// TestReadPassword: a password is read exactly as given except for one final line end.
func TestReadPassword(t *testing.T) {
	long := strings.Repeat("x", maxPassword)
	for given, want := range map[string]string{
		"secret":      "secret",
		"secret\n":    "secret",
		"secret\r\n":  "secret",
		" sec ret \t": " sec ret \t",
		"grüße\n":     "grüße",
		long + "\r\n": long,
		"\n":          "",
		"":            "",
		"secret\n\n":  "",
		"secret\r":    "",
		"a\nb":        "",
		"nul\x00":     "",
		long + "x":    "",
		long + long:   "",
	} {
		cmd := &cobra.Command{}
		cmd.SetIn(strings.NewReader(given))
		got, err := readPassword(cmd)
		if got.Reveal() != want || (err == nil) != (want != "") {
			t.Errorf("%.40q: %.40q, %v", given, got.Reveal(), err)
		}
	}
}
