package proxy

import (
	"slices"
	"testing"

	"authferry/tokens/oauth"
)

func TestCommonExtensions(t *testing.T) {
	gmail := &oauth.Provider{SMTPExtensions: []string{"SIZE 35882577", "8BITMIME", "STARTTLS", "PIPELINING", "SMTPUTF8"}}
	microsoft := &oauth.Provider{SMTPExtensions: []string{"SIZE 157286400", "pipelining", "DSN", "8BITMIME", "AUTH LOGIN XOAUTH2"}}
	unlimited := &oauth.Provider{SMTPExtensions: []string{"8BITMIME", "SIZE"}}
	bare := &oauth.Provider{}
	for _, tt := range []struct {
		name      string
		providers []*oauth.Provider
		want      []string
	}{
		{"none", nil, nil},
		{"one", []*oauth.Provider{gmail}, []string{"SIZE 35882577", "8BITMIME", "PIPELINING", "SMTPUTF8"}},
		{"two", []*oauth.Provider{gmail, microsoft}, []string{"SIZE 35882577", "8BITMIME", "PIPELINING"}},
		{"two, turned round", []*oauth.Provider{microsoft, gmail}, []string{"SIZE 35882577", "pipelining", "8BITMIME"}},
		{"no limit", []*oauth.Provider{unlimited, gmail}, []string{"8BITMIME", "SIZE 35882577"}},
		{"one with nothing", []*oauth.Provider{gmail, bare}, nil},
	} {
		if got := commonExtensions(tt.providers); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestPlausibleName(t *testing.T) {
	for name, want := range map[string]bool{
		"mail.example.org": true, "XC-B8C463": true, "[192.0.2.7]": true, "[IPv6:2001:db8::1]": true, "[IPV6:::1]": true,
		"NAS_2": true, "": false, "[": false, "[]": false, "[127.0.0.1": false, "a b": false, "drucker-büro": false,
		"<script>": false, "a\r\nMAIL FROM:<x>": false, ".x": false,
	} {
		if got := plausibleName(name); got != want {
			t.Errorf("plausibleName(%q) = %v", name, got)
		}
	}
}

func TestReadReply(t *testing.T) {
	for said, want := range map[string]smtpReply{
		"220 hi\r\n":                    {220, []string{"hi"}},
		"250-a\r\n250-b c\r\n250 d\r\n": {250, []string{"a", "b c", "d"}},
		"334 \r\n":                      {334, []string{""}},
		"334\r\n":                       {334, []string{""}},
		"250-\r\n250 x\n":               {250, []string{"", "x"}},
	} {
		if got, err := readReply(fed(t, said)); err != nil || got.code != want.code || !slices.Equal(got.lines, want.lines) {
			t.Errorf("readReply(%q) = %v, %v", said, got, err)
		}
	}
	for _, bad := range []string{"\r\n", "2\r\n", "abc\r\n", "2500 x\r\n", "999 x\r\n", "-12 x\r\n", "250-a\r\n"} {
		if got, err := readReply(fed(t, bad)); err == nil {
			t.Errorf("readReply(%q) = %v", bad, got)
		}
	}
}
