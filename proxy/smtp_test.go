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
