package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestSettingsAsked: the monitor serves the settings of the open listeners, for the
// domains of connected mailboxes only.
func TestSettingsAsked(t *testing.T) {
	t.Parallel()
	s, _ := newShow(t)
	s.reconfigured(t, func(before string) string {
		return strings.Replace(before, "listen = [", `listen = ["imaps://:0", "smtps://:0", `, 1)
	})
	name := s.service.InForce().Hostname
	server := httptest.NewServer(s.service.Monitor)
	defer server.Close()
	ask := func(path, host string) (int, string) {
		t.Helper()
		r, err := http.NewRequest(http.MethodGet, server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		response, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		content, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(content)
	}
	port := func(written string) string {
		address := s.where(written)
		return "<port>" + address[strings.LastIndexByte(address, ':')+1:] + "</port>"
	}
	const path = "/mail/config-v1.1.xml?emailaddress="
	code, far := ask(path+demoMailbox, "autoconfig.gmail.com")
	if code != http.StatusOK || !strings.Contains(far, "<hostname>"+name+"</hostname>") || !strings.Contains(far, port("imaps://:0")) || strings.Contains(far, "127.0.0.1") {
		t.Errorf("%d %s", code, far)
	}
	if code, none := ask(path+"you@example.com", "localhost"); code != http.StatusNotFound {
		t.Errorf("%d %s", code, none)
	}
	code, profile := ask("/email.mobileconfig?email="+demoMailbox, "gmail.com")
	if code != http.StatusOK || strings.HasPrefix(profile, "<") || !strings.Contains(profile, "<string>"+name+"</string>") {
		t.Errorf("a profile that is not signed: %d %s", code, profile)
	}
}
