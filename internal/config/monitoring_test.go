package config

import "testing"

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "0MB": 0, "1234567": 1234567, "10MB": 10_000_000, "500 kb": 500_000, "2GB": 2_000_000_000,
	} {
		if n, err := parseSize(text); err != nil || n != want {
			t.Errorf("%q: %d, %v; want %d", text, n, err, want)
		}
	}
	for _, text := range []string{"", "MB", "-1MB", "1.5MB", "1 TB", "99999999999999999999GB", "5000000000", "10MiB", "x"} {
		if n, err := parseSize(text); err == nil {
			t.Errorf("%q: %d", text, n)
		}
	}
}
