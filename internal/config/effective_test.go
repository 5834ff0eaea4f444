package config

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"authferry/internal/config/document"
)

// TestKeysHideSecrets: what the console shows of a configuration says where each
// value comes from, and no secret.
func TestKeysHideSecrets(t *testing.T) {
	program, err := os.Executable() // one that is there on every machine
	if err != nil {
		t.Fatal(err)
	}
	c := load(t, fmt.Sprintf(`hostname = "mx.example.org"
[provider.gmail]
client_id = "id"
client_secret = "CANARY-1"
proxy = "http://user:CANARY-2@proxy.example.org:3128"
[provider.ours]
like = "gmail"
token_command = [%[1]q, "CANARY-3"]
[alert]
webhook = "https://hooks.example.org/CANARY-4"
command = [%[1]q, "--token", "CANARY-5"]
after = "90m"
`, program))
	found := map[string]document.Setting{}
	for _, s := range c.Keys {
		found[s.Key] = s
		if strings.Contains(s.Value, "CANARY") {
			t.Errorf("%s shows a secret: %s", s.Key, s.Value)
		}
	}
	for _, want := range []document.Setting{
		{Key: "hostname", Value: `"mx.example.org"`, Line: 1},
		{Key: "drain", Value: `"30s"`},
		{Key: "gate.window", Value: `"10m"`},
		{Key: "provider.gmail.client_secret", Value: "•••", Line: 4},
		{Key: "provider.gmail.proxy", Value: `"http://•••@proxy.example.org:3128"`, Line: 5},
		{Key: "provider.ours.token_command", Value: fmt.Sprintf("[%q, •••]", program), Line: 8},
		{Key: "alert.webhook", Value: "•••", Line: 10},
		{Key: "alert.after", Value: `"90m"`, Line: 12},
	} {
		if got := found[want.Key]; got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}
